<?php
// Version of the sandbox tree, in the form that Moodle gives its own.

$version  = 2024100701.00;
$release  = '4.5.1 (Build: 20241209) sandbox';
$branch   = '405';
$maturity = MATURITY_STABLE;
