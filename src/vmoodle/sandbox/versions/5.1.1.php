<?php
// Version of the sandbox tree, in the form that Moodle gives its own.

$version  = 2025100601.00;
$release  = '5.1.1 (Build: 20251208) sandbox';
$branch   = '501';
$maturity = MATURITY_STABLE;
