<?php

// Access to the site's database: statements with {table} names and ? parameters, the same on both engines.

declare(strict_types=1);

/** The database refused or could not be reached. */
class dml_exception extends RuntimeException
{
}

/** One open database of one site. */
abstract class moodle_database
{
    protected string $prefix;

    /** Open the database that the settings name. */
    public static function connect_to(stdClass $CFG): self
    {
        $engines = ['pgsql' => 'pgsql', 'mariadb' => 'mysqli', 'mysqli' => 'mysqli'];
        $engine = $engines[$CFG->dbtype ?? ''] ?? null;
        if ($engine === null) {
            throw new moodle_exception('$CFG->dbtype is none that the sandbox knows.');
        }
        require_once __DIR__ . "/{$engine}_database.php";
        $class = "{$engine}_database";
        $database = new $class();
        $database->prefix = (string)$CFG->prefix;
        try {
            $database->connect($CFG, (array)$CFG->dboptions);
        } catch (dml_exception $error) {
            error_log('sandbox: ' . $error->getMessage());
            throw new moodle_exception('Error: the connection to the database failed.');
        }
        return $database;
    }

    abstract protected function connect(stdClass $CFG, array $options): void;

    /** Run one statement; return its rows, each value a string or null. */
    abstract public function get_rows(string $sql, array $params = []): array;

    /** Names of the site's tables, without prefix. */
    abstract public function get_tables(): array;

    /** Statements that make a table with its keys. */
    abstract public function create_table_sql(string $table, array $definition): array;

    abstract public function server_version(): string;

    abstract protected function insert(string $sql, array $params): int;

    /** Run statements as one: all of them or, after an error, none. */
    public function in_transaction(callable $work): void
    {
        $this->get_rows('START TRANSACTION');
        try {
            $work();
        } catch (Throwable $error) {
            $this->get_rows('ROLLBACK');
            throw $error;
        }
        $this->get_rows('COMMIT');
    }

    public function execute(string $sql, array $params = []): void
    {
        $this->get_rows($sql, $params);
    }

    public function get_records(string $table, array $conditions = [], string $sort = 'id'): array
    {
        [$where, $params] = $this->where($conditions);
        $rows = $this->get_rows("SELECT * FROM {{$table}}$where ORDER BY $sort", $params);
        return array_map(static fn(array $row): stdClass => (object)$row, $rows);
    }

    public function get_record(string $table, array $conditions): ?stdClass
    {
        return $this->get_records($table, $conditions)[0] ?? null;
    }

    public function get_field(string $table, string $field, array $conditions): string|false|null
    {
        [$where, $params] = $this->where($conditions);
        $row = $this->get_rows("SELECT $field AS field FROM {{$table}}$where", $params)[0] ?? null;
        return $row === null ? false : $row['field'];
    }

    public function get_records_menu(string $table, array $conditions, string $key, string $value): array
    {
        [$where, $params] = $this->where($conditions);
        return array_column($this->get_rows("SELECT $key, $value FROM {{$table}}$where", $params), $value, $key);
    }

    public function count_records(string $table, array $conditions = []): int
    {
        [$where, $params] = $this->where($conditions);
        return (int)$this->get_rows("SELECT COUNT(*) AS n FROM {{$table}}$where", $params)[0]['n'];
    }

    public function record_exists(string $table, array $conditions): bool
    {
        return $this->count_records($table, $conditions) > 0;
    }

    /** Insert a row and return its id. */
    public function insert_record(string $table, array|stdClass $record): int
    {
        $record = (array)$record;
        $columns = implode(', ', array_keys($record));
        $marks = implode(', ', array_fill(0, count($record), '?'));
        return $this->insert("INSERT INTO {{$table}} ($columns) VALUES ($marks)", array_values($record));
    }

    public function set_field(string $table, string $field, mixed $value, array $conditions): void
    {
        [$where, $params] = $this->where($conditions);
        $this->get_rows("UPDATE {{$table}} SET $field = ?$where", [$value, ...$params]);
    }

    /** Update the row that the record's id names. */
    public function update_record(string $table, array|stdClass $record): void
    {
        $record = (array)$record;
        $id = $record['id'];
        unset($record['id']);
        $set = implode(', ', array_map(static fn(string $column): string => "$column = ?", array_keys($record)));
        $this->get_rows("UPDATE {{$table}} SET $set WHERE id = ?", [...array_values($record), $id]);
    }

    public function delete_records(string $table, array $conditions = []): void
    {
        [$where, $params] = $this->where($conditions);
        $this->get_rows("DELETE FROM {{$table}}$where", $params);
    }

    private function where(array $conditions): array
    {
        $tests = [];
        $params = [];
        foreach ($conditions as $column => $value) {
            $tests[] = $value === null ? "$column IS NULL" : "$column = ?";
            if ($value !== null) {
                $params[] = $value;
            }
        }
        return [$tests ? ' WHERE ' . implode(' AND ', $tests) : '', $params];
    }

    protected function with_prefix(string $sql): string
    {
        return preg_replace('/\{([a-z0-9_]+)\}/', $this->prefix . '$1', $sql);
    }

    /** Parameters as both engines take them: text, whole numbers or null. */
    protected function plain(array $params): array
    {
        return array_map(static fn(mixed $value): mixed => is_bool($value) ? (int)$value : $value, array_values($params));
    }

    /** Columns, defaults and keys of one table of lib/db/tables.php, written with an engine's own types. */
    protected function parts_of(array $definition, callable $type): array
    {
        $columns = [];
        $keys = [];
        foreach ($definition as $line) {
            if (preg_match('/^(unique|index) (.+)$/', $line, $found)) {
                $keys[] = [$found[1] === 'unique', $found[2]];
                continue;
            }
            preg_match('/^(\w+) ([inct])([0-9.]*)( null)?(?: =(.*))?$/', $line, $found, PREG_UNMATCHED_AS_NULL);
            [, $name, $kind, $size, $null, $default] = $found;
            $quoted = $default === null ? '' : " DEFAULT '" . str_replace("'", "''", $default) . "'";
            $columns[] = $name . ' ' . $type($kind, $size) . ($null === null ? ' NOT NULL' : '') . $quoted;
        }
        return [$columns, $keys];
    }
}
