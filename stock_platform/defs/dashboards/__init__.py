"""What people look at: assets downstream of everything else."""
