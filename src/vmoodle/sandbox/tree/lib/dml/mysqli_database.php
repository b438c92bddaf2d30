<?php

// MariaDB and MySQL. The host `localhost` means the socket, as in the client library.

declare(strict_types=1);

class mysqli_database extends moodle_database
{
    private mysqli $link;

    protected function connect(stdClass $CFG, array $options): void
    {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $socket = (string)($options['dbsocket'] ?? '');
        $socket = str_contains($socket, '/') ? $socket : ini_get('mysqli.default_socket');
        $port = (int)($options['dbport'] ?? 0) ?: (int)ini_get('mysqli.default_port') ?: 3306;
        $host = empty($options['dbpersist']) ? $CFG->dbhost : 'p:' . $CFG->dbhost;
        $this->link = mysqli_init();
        if (!empty($options['connecttimeout'])) {
            $this->link->options(MYSQLI_OPT_CONNECT_TIMEOUT, (int)$options['connecttimeout']);
        }
        try {
            @$this->link->real_connect($host, $CFG->dbuser, $CFG->dbpass, $CFG->dbname, $port, $socket);
            $this->link->set_charset(explode('_', $options['dbcollation'] ?? 'utf8mb4_unicode_ci')[0]);
            $this->link->query("SET SESSION sql_mode = 'STRICT_ALL_TABLES'");
        } catch (mysqli_sql_exception $error) {
            throw new dml_exception($error->getMessage());
        }
    }

    public function get_rows(string $sql, array $params = []): array
    {
        try {
            if ($params === []) {
                $result = $this->link->query($this->with_prefix($sql));
            } else {
                $statement = $this->link->prepare($this->with_prefix($sql));
                $statement->execute($this->plain($params));
                $result = $statement->get_result();
            }
        } catch (mysqli_sql_exception $error) {
            throw new dml_exception($error->getMessage());
        }
        $rows = [];
        while ($result instanceof mysqli_result && ($row = $result->fetch_assoc())) {
            $rows[] = array_map(static fn(mixed $value): ?string => $value === null ? null : (string)$value, $row);
        }
        return $rows;
    }

    protected function insert(string $sql, array $params): int
    {
        $this->get_rows($sql, $params);
        return (int)$this->link->insert_id;
    }

    public function get_tables(): array
    {
        $names = array_map(static fn(array $row): string => reset($row), $this->get_rows('SHOW TABLES'));
        $own = array_filter($names, fn(string $name): bool => str_starts_with($name, $this->prefix));
        return array_values(array_map(fn(string $name): string => substr($name, strlen($this->prefix)), $own));
    }

    public function create_table_sql(string $table, array $definition): array
    {
        [$columns, $keys] = $this->parts_of($definition, static fn(string $kind, string $size): string => match ($kind) {
            'i' => match (true) {
                (int)$size > 9 => "bigint($size)",
                (int)$size > 6 => "int($size)",
                (int)$size > 4 => "mediumint($size)",
                (int)$size > 2 => "smallint($size)",
                default => "tinyint($size)",
            },
            'n' => 'decimal(' . str_replace('.', ',', $size) . ')',
            'c' => "varchar($size)",
            't' => 'longtext',
        });
        $lines = ['id bigint(10) NOT NULL AUTO_INCREMENT', ...$columns, 'PRIMARY KEY (id)'];
        foreach ($keys as $number => [$unique, $fields]) {
            $lines[] = ($unique ? 'UNIQUE ' : '') . "KEY {$this->prefix}{$table}_{$number}_" . ($unique ? 'uix' : 'ix') . " ($fields)";
        }
        return ["CREATE TABLE {{$table}} (\n" . implode(",\n", $lines) . "\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
            . ' COLLATE=utf8mb4_unicode_ci ROW_FORMAT=DYNAMIC'];
    }

    public function server_version(): string
    {
        // MariaDB up to 10 calls itself 5.5.5-10.x to old clients.
        return preg_replace('/^5\.5\.5-/', '', $this->link->server_info);
    }
}
