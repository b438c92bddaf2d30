<?php

// The web root is public/: who comes here is sent there.

declare(strict_types=1);

header('Location: ./public/', true, 308);
