<?php
// A stand-in for Moodle's mod_page: it has a version and nothing else.

defined('MOODLE_INTERNAL') || die();

$plugin->version   = 2024100700;
$plugin->requires  = 2024100100;
$plugin->component = 'mod_page';
