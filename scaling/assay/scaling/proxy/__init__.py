"""Small trainings that prove a selection. torch is imported here and in
scaling/influence, and nowhere else."""
