<?php

// Scheduled tasks: component, class, minute, hour, day, month, day of week; R stands for a value drawn at installation.

declare(strict_types=1);

return [
    ['moodle', '\core\task\session_cleanup_task', '*', '*', '*', '*', '*'],
    ['moodle', '\core\task\delete_unconfirmed_users_task', 'R', '*', '*', '*', '*'],
    ['moodle', '\core\task\delete_incomplete_users_task', 'R', '*', '*', '*', '*'],
    ['moodle', '\core\task\backup_cleanup_task', 'R', '*', '*', '*', '*'],
    ['moodle', '\core\task\cache_cleanup_task', 'R', '*', '*', '*', '*'],
    ['moodle', '\core\task\messaging_cleanup_task', 'R', '*', '*', '*', '*'],
    ['moodle', '\core\task\send_new_user_passwords_task', '*', '*', '*', '*', '*'],
    ['moodle', '\core\task\context_cleanup_task', 'R', '*', '*', '*', '*'],
    ['moodle', '\core\task\file_temp_cleanup_task', 'R', '*/6', '*', '*', '*'],
    ['moodle', '\core\task\registration_cron_task', 'R', 'R', '*', '*', 'R'],
    ['moodle', '\core\task\task_log_cleanup_task', 'R', 'R', '*', '*', '*'],
    ['logstore_standard', '\logstore_standard\task\cleanup_task', 'R', '4', '*', '*', '*'],
];
