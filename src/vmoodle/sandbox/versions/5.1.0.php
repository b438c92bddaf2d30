<?php
// Version of the sandbox tree, in the form that Moodle gives its own.

$version  = 2025100600.00;
$release  = '5.1.0 (Build: 20251006) sandbox';
$branch   = '501';
$maturity = MATURITY_STABLE;
