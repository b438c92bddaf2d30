<?php
// Version of the sandbox tree, in the form that Moodle gives its own.

$version  = 2025041400.00;
$release  = '5.0.0 (Build: 20250414) sandbox';
$branch   = '500';
$maturity = MATURITY_STABLE;
