<?php
// PDO with a connection that is kept, checked as applications do: by a text, or prepared by the server.
[$host, $port, $user, $password] = array_map('getenv', ['HOST', 'PORT', 'USER_NAME', 'PASSWORD']);
$prepared = $argv[1] === 'pdo-prepared';
$pdo = new PDO("mysql:host=$host;port=$port;dbname=d;charset=utf8mb4", $user, $password, [
    PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
    PDO::ATTR_PERSISTENT => true,
    PDO::ATTR_EMULATE_PREPARES => !$prepared,
]);
$pdo->query('SELECT i FROM t')->fetchAll();
echo "ready\n";
stream_set_blocking(STDIN, false);
for ($checks = 0; fgets(STDIN) === false; $checks++) {
    $statement = $prepared ? $pdo->prepare('SELECT 1') : $pdo->query('SELECT 1');
    if ($prepared) {
        $statement->execute();
    }
    $statement->fetchAll();
    $statement = null;
    usleep(500000);
}
echo "checks $checks\n";
