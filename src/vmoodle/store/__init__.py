"""Where snapshots and portable templates are kept: content-addressed, on a disk, S3 or SFTP."""
