<?php

// PostgreSQL. With `dbsocket` and a local host the connection goes by the socket, which may name its directory.

declare(strict_types=1);

class pgsql_database extends moodle_database
{
    private PgSql\Connection $link;

    protected function connect(stdClass $CFG, array $options): void
    {
        if ($this->prefix === '') {
            throw new moodle_exception('$CFG->prefix must not be empty on PostgreSQL.');
        }
        $parts = ['user' => $CFG->dbuser, 'password' => $CFG->dbpass, 'dbname' => $CFG->dbname];
        $socket = (string)($options['dbsocket'] ?? '');
        if ($socket !== '' && $socket !== '0' && in_array($CFG->dbhost, ['localhost', '127.0.0.1'], true)) {
            if (str_contains($socket, '/')) {
                $parts['host'] = $socket;
            }
            $parts['port'] = $options['dbport'] ?? '';
        } else {
            $parts['host'] = $CFG->dbhost;
            $parts['port'] = ($options['dbport'] ?? '') ?: '5432';
        }
        $parts['connect_timeout'] = $options['connecttimeout'] ?? '';
        if (empty($options['dbhandlesoptions'])) {
            $parts['options'] = '--client_encoding=utf8 --standard_conforming_strings=on';
            if (!empty($options['dbschema'])) {
                $parts['options'] .= ' -c search_path=' . $options['dbschema'];
            }
        }
        $text = '';
        foreach (array_filter($parts, static fn(mixed $part): bool => (string)$part !== '') as $name => $part) {
            $text .= "$name='" . addcslashes((string)$part, "'\\") . "' ";
        }
        $connect = empty($options['dbpersist']) ? 'pg_connect' : 'pg_pconnect';
        $link = @$connect($text, PGSQL_CONNECT_FORCE_NEW);
        if ($link === false) {
            throw new dml_exception(error_get_last()['message'] ?? 'no connection');
        }
        $this->link = $link;
    }

    public function get_rows(string $sql, array $params = []): array
    {
        $sql = $this->with_prefix($sql);
        if ($params === []) {
            $result = @pg_query($this->link, $sql);
        } else {
            $number = 0;
            $sql = preg_replace_callback('/\?/', static function () use (&$number): string {
                return '$' . ++$number;
            }, $sql);
            $result = @pg_query_params($this->link, $sql, $this->plain($params));
        }
        if ($result === false) {
            throw new dml_exception(pg_last_error($this->link));
        }
        return pg_fetch_all($result);
    }

    protected function insert(string $sql, array $params): int
    {
        return (int)$this->get_rows($sql . ' RETURNING id', $params)[0]['id'];
    }

    public function get_tables(): array
    {
        $sql = 'SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND starts_with(tablename, ?)';
        $names = array_column($this->get_rows($sql, [$this->prefix]), 'tablename');
        return array_map(fn(string $name): string => substr($name, strlen($this->prefix)), $names);
    }

    public function create_table_sql(string $table, array $definition): array
    {
        [$columns, $keys] = $this->parts_of($definition, static fn(string $kind, string $size): string => match ($kind) {
            'i' => match (true) {
                (int)$size > 9 => 'bigint',
                (int)$size > 4 => 'integer',
                default => 'smallint',
            },
            'n' => 'numeric(' . str_replace('.', ',', $size) . ')',
            'c' => "varchar($size)",
            't' => 'text',
        });
        $lines = ['id bigserial PRIMARY KEY', ...$columns];
        $statements = ["CREATE TABLE {{$table}} (\n" . implode(",\n", $lines) . "\n)"];
        foreach ($keys as $number => [$unique, $fields]) {
            $name = "{$this->prefix}{$table}_{$number}_" . ($unique ? 'uix' : 'ix');
            $statements[] = 'CREATE ' . ($unique ? 'UNIQUE ' : '') . "INDEX $name ON {{$table}} ($fields)";
        }
        return [implode(";\n", $statements)];
    }

    public function server_version(): string
    {
        return (string)pg_version($this->link)['server'];
    }
}
