/* Connect to each database in turn, ask one question, hang up: the floor of bench/fleet.py.
 *
 * Usage: connect_loop HOST PORT SQL PROCESSES, a database a line on standard input:
 * name, account, password, with tabs between. Prints the seconds it took. The client library's
 * functions are declared here, so that it compiles without its headers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct mysql MYSQL;
typedef struct result MYSQL_RES;
MYSQL *mysql_init(MYSQL *);
MYSQL *mysql_real_connect(MYSQL *, const char *, const char *, const char *, const char *,
                          unsigned int, const char *, unsigned long);
int mysql_query(MYSQL *, const char *);
MYSQL_RES *mysql_store_result(MYSQL *);
char **mysql_fetch_row(MYSQL_RES *);
void mysql_free_result(MYSQL_RES *);
void mysql_close(MYSQL *);
const char *mysql_error(MYSQL *);

enum { MOST = 20000 };
static char *names[MOST], *accounts[MOST], *passwords[MOST];

static char *word(char **rest) {
    char *found = strsep(rest, "\t\n");
    return strdup(found ? found : "");
}

static void ask(int number, char **argv) {
    MYSQL *link = mysql_init(NULL);
    if (!mysql_real_connect(link, argv[1], accounts[number], passwords[number], names[number],
                            (unsigned)atoi(argv[2]), NULL, 0) ||
        mysql_query(link, argv[3])) {
        fprintf(stderr, "%s: %s\n", names[number], mysql_error(link));
        exit(1);
    }
    MYSQL_RES *result = mysql_store_result(link);
    if (!result || !mysql_fetch_row(result))
        exit(1);
    mysql_free_result(result);
    mysql_close(link);
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    char line[1000], *rest;
    int count = 0, processes = atoi(argv[4]), failed = 0, status;
    while (count < MOST && fgets(line, sizeof line, stdin)) {
        rest = line;
        names[count] = word(&rest);
        accounts[count] = word(&rest);
        passwords[count++] = word(&rest);
    }
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int mine = 0; mine < processes; mine++)
        if (!fork()) {
            for (int number = mine; number < count; number += processes)
                ask(number, argv);
            _exit(0);
        }
    while (wait(&status) > 0)
        failed |= status;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%.6f\n", (double)(ended.tv_sec - began.tv_sec) +
                         (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    return failed != 0;
}
