#!/bin/bash
# MinIO's command line: server FOLDER --console-address :9001
set -euo pipefail
export AWS_ACCESS_KEY_ID="$MINIO_ROOT_USER" AWS_SECRET_ACCESS_KEY="$MINIO_ROOT_PASSWORD"
exec weed mini -dir="$2" -ip=127.0.0.1 -ip.bind=0.0.0.0 -s3.port=9000 -s3.port.iceberg=0 -s3.port.lance=0 -master.telemetry=false \
  -admin.port=9001 -webdav=false
