"""A site's database as Moodle lays it out: tables, columns, addresses and contents."""
