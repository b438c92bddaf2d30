<?php
// Version of the sandbox tree, in the form that Moodle gives its own.

$version  = 2024100700.00;
$release  = '4.5.0 (Build: 20241007) sandbox';
$branch   = '405';
$maturity = MATURITY_STABLE;
