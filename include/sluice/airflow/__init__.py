"""The only package that imports Airflow: connections, lineage, notifications, bodies of tasks."""
