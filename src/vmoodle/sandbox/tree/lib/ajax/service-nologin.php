<?php

// Functions that need no account: what a mobile app asks a site first.

declare(strict_types=1);

define('AJAX_SCRIPT', true);
define('NO_MOODLE_COOKIES', true);

require_once __DIR__ . '/../../config.php';

if (empty($CFG->version)) {
    throw new moodle_exception('The site is not installed.');
}
$text = is_string($_GET['args'] ?? null) ? $_GET['args'] : (string)file_get_contents('php://input');
$requests = json_decode($text, true);
if (!is_array($requests)) {
    $requests = [['methodname' => $_GET['info'] ?? '']];
}
$answers = [];
foreach ($requests as $request) {
    if (($request['methodname'] ?? '') === 'tool_mobile_get_public_config') {
        $answers[] = ['error' => false, 'data' => [
            'wwwroot' => $CFG->wwwroot,
            'httpswwwroot' => $CFG->wwwroot,
            'sitename' => $SITE->fullname,
            'guestlogin' => 0,
            'maintenanceenabled' => (int)($CFG->maintenance_enabled ?? 0),
            'maintenancemessage' => $CFG->maintenance_message ?? '',
        ]];
        continue;
    }
    $answers[] = ['error' => true, 'exception' => ['message' => 'There is no such function.', 'errorcode' => 'servicenotavailable']];
    break;
}
echo json_encode($answers, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
