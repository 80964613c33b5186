"""The pages in a real browser, served without Airflow. A package, so that one browser serves all its files."""
