"""Database engines behind one Protocol: MariaDB/MySQL, PostgreSQL and a private PostgreSQL."""
