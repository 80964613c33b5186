"""`make demo`: ingests a real folder through Airflow into all stores, then searches. It uses HTTP only, as users do."""
