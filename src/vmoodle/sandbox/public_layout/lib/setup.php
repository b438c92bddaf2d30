<?php

// The bootstrap stands in the web root since 5.1; config.php still includes it from here.

declare(strict_types=1);

require_once dirname(__DIR__) . '/public/lib/setup.php';
