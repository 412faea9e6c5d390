"""What others deploy the service with: the chart, Compose, systemd units, the image."""
