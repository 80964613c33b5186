"""`make demo`: a real folder through Airflow into all stores, then searches; over HTTP alone, as users do."""
