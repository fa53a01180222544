"""What people look at: Superset's dashboards as assets, and the weekly digest."""
