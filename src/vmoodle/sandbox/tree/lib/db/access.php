<?php

// Capabilities: kind, context level, component, risks, and the permission each archetype has of its own.

declare(strict_types=1);

return [
    'moodle/site:config' => ['write', 10, 'moodle', 62, []],
    'moodle/site:uploadusers' => ['write', 10, 'moodle', 24, ['manager' => 1]],
    'moodle/site:sendmessage' => ['write', 10, 'moodle', 16, ['manager' => 1, 'user' => 1]],
    'moodle/site:viewparticipants' => ['read', 10, 'moodle', 0, ['manager' => 1]],
    'moodle/site:mnetlogintoremote' => ['read', 10, 'moodle', 0, []],
    'moodle/site:manageblocks' => ['write', 80, 'moodle', 20, ['editingteacher' => 1, 'manager' => 1]],
    'moodle/user:create' => ['write', 10, 'moodle', 24, ['manager' => 1]],
    'moodle/user:update' => ['write', 10, 'moodle', 24, ['manager' => 1]],
    'moodle/user:viewdetails' => ['read', 50, 'moodle', 0,
        ['guest' => 1, 'student' => 1, 'teacher' => 1, 'editingteacher' => 1, 'manager' => 1]],
    'moodle/user:editownprofile' => ['write', 10, 'moodle', 16, ['guest' => -1000, 'user' => 1, 'manager' => 1]],
    'moodle/role:manage' => ['write', 10, 'moodle', 28, ['manager' => 1]],
    'moodle/role:assign' => ['write', 50, 'moodle', 28, ['editingteacher' => 1, 'manager' => 1]],
    'moodle/category:manage' => ['write', 40, 'moodle', 4, ['manager' => 1]],
    'moodle/course:create' => ['write', 40, 'moodle', 4, ['coursecreator' => 1, 'manager' => 1]],
    'moodle/course:update' => ['write', 50, 'moodle', 4, ['editingteacher' => 1, 'manager' => 1]],
    'moodle/course:view' => ['read', 50, 'moodle', 0, ['manager' => 1]],
    'moodle/course:viewhiddencourses' => ['read', 50, 'moodle', 0,
        ['coursecreator' => 1, 'teacher' => 1, 'editingteacher' => 1, 'manager' => 1]],
    'moodle/course:viewparticipants' => ['read', 50, 'moodle', 0,
        ['student' => 1, 'teacher' => 1, 'editingteacher' => 1, 'manager' => 1]],
    'moodle/course:managegroups' => ['write', 50, 'moodle', 4, ['editingteacher' => 1, 'manager' => 1]],
    'moodle/course:manageactivities' => ['write', 70, 'moodle', 4, ['editingteacher' => 1, 'manager' => 1]],
    'moodle/grade:view' => ['read', 50, 'moodle', 0, ['student' => 1]],
    'moodle/backup:backupcourse' => ['write', 50, 'moodle', 28, ['editingteacher' => 1, 'manager' => 1]],
    'moodle/block:view' => ['read', 80, 'moodle', 0,
        ['guest' => 1, 'user' => 1, 'student' => 1, 'teacher' => 1, 'editingteacher' => 1]],
    'mod/label:addinstance' => ['write', 50, 'mod_label', 4, ['editingteacher' => 1, 'manager' => 1]],
    'mod/label:view' => ['read', 70, 'mod_label', 0, ['guest' => 1, 'user' => 1]],
    'mod/page:addinstance' => ['write', 50, 'mod_page', 4, ['editingteacher' => 1, 'manager' => 1]],
    'mod/page:view' => ['read', 70, 'mod_page', 0, ['guest' => 1, 'user' => 1]],
    'block/html:addinstance' => ['write', 80, 'block_html', 20, ['editingteacher' => 1, 'manager' => 1]],
    'block/html:myaddinstance' => ['write', 10, 'block_html', 0, ['user' => 1]],
];
