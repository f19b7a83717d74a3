"""Small trainings that prove a selection. torch is imported in this package and nowhere else."""
