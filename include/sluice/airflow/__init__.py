"""The only package that imports Airflow: connections, lineage, notifications, task bodies. Only dags/ and plugins/ use it."""
