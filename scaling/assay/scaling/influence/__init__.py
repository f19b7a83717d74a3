"""What a sample's presence does to a model's loss, without training again: influence functions
(Koh and Liang 2017, arXiv 1703.04730), their solvers, and subsets by their scores. In scaling,
torch is imported here and in proxy."""
