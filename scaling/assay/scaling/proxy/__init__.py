"""Small trainings that prove a selection. In scaling, torch is imported here and in influence."""
