"""What is measured: figures for Prometheus, a dashboard and alarms for Grafana."""
