"""The one room that knows Airflow: connections, lineage, notifications, task bodies. Only dags/ and plugins/ use it."""
