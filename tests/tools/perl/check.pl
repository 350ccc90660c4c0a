#!/usr/bin/perl
# DBI with DBD::MariaDB or DBD::mysql: check.pl MariaDB | mysql.
use strict;
use warnings;
use utf8;
use DBI;
binmode STDOUT, ':utf8';
$| = 1;

my $driver = shift;
my $lower  = lc $driver;

sub said {
    my @what = map { ref $_ ? '(' . join(', ', map { ref $_ ? '(' . join(', ', map { $_ // 'NULL' } @$_) . ')' : $_ // 'NULL' } @$_) . ')' : $_ // 'NULL' } @_;
    print join(' ', @what), "\n";
}

sub nap {
    system($ENV{NAP}, @_) == 0 or die "nap @_ failed\n";
}

sub session {
    my %more = @_;
    my @utf8 = $driver eq 'mysql' ? (mysql_enable_utf8mb4 => 1) : ();
    return DBI->connect(
        "dbi:$driver:database=$ENV{SCHEMA};host=$ENV{HOST};port=$ENV{PORT}",
        $ENV{USER_NAME}, $ENV{PASSWORD},
        { RaiseError => 1, PrintError => 0, AutoCommit => 1, @utf8, %more },
    );
}

# The error of a statement that fails, without ids.
sub error_of {
    my ($db, $statement) = @_;
    my $done = eval { $db->do($statement); 1 };
    return $done ? 'no error' : $db->err . ' ' . ($db->state // '') . ' ' . $db->errstr;
}

my $db    = session();
my $other = session();
my $id    = $db->{"${lower}_thread_id"};
my ($asked) = $db->selectrow_array('SELECT CONNECTION_ID()');
said('the login said the same connection id:', $id == $asked ? 'yes' : 'no');
$db->do('CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60), n TINYINT UNSIGNED, d DECIMAL(10,2), b BLOB) CHARACTER SET utf8mb4');

for my $server_side (0, 1) {
    said("== statements prepared by the", $server_side ? 'server' : 'driver');
    $db->do('TRUNCATE t');
    my $insert = $db->prepare('INSERT INTO t (name, n, d, b) VALUES (?, ?, ?, ?)', { "${lower}_server_prepare" => $server_side });
    my $select = $db->prepare('SELECT id, name, n, d, LENGTH(b) FROM t WHERE id >= ? ORDER BY id', { "${lower}_server_prepare" => $server_side });
    my $number = 0;
    for my $kind ('', 'steal', 'suspend', 'park', 'kill', 'steal') {
        nap($kind) if $kind;
        $number++;
        said($kind || 'first', $insert->execute("größe 🐭 $number", $number, "$number.25", "\x01" x (1000 * $number)),
            $insert->{"${lower}_insertid"}, $db->{"${lower}_insertid"});
        nap('steal');
        said($db->selectrow_array('SELECT LAST_INSERT_ID(), ROW_COUNT()'));
        $select->execute($number > 2 ? $number - 1 : 1);
        said($select->fetchall_arrayref);
    }
}

said('== transactions');
for my $end ('rollback', 'commit') {
    $db->begin_work;
    $db->do('UPDATE t SET n = n + 100 WHERE id = 1');
    nap('steal', 'suspend');
    $db->do('SAVEPOINT one');
    $db->do("DELETE FROM t WHERE id > 1");
    nap('suspend');
    $db->do('ROLLBACK TO one');
    said('others see', $other->selectrow_array('SELECT n, (SELECT COUNT(*) FROM t) FROM t WHERE id = 1'));
    said('it sees', $db->selectrow_array('SELECT n, (SELECT COUNT(*) FROM t) FROM t WHERE id = 1'));
    $db->$end;
    nap('park');
    said("after $end", $other->selectrow_array('SELECT n, (SELECT COUNT(*) FROM t) FROM t WHERE id = 1'));
}
$db->{AutoCommit} = 0;
$db->do("INSERT INTO t (name) VALUES ('not committed')");
$db->rollback;
nap('park');
said('autocommit', $db->selectrow_array("SELECT \@\@autocommit, COUNT(*) FROM t WHERE name = 'not committed'"));
$db->rollback;
$db->{AutoCommit} = 1;

said('== warnings and errors');
$db->do("SET sql_mode = ''");
for my $kind ('', 'steal', 'suspend', 'park') {
    $db->do("INSERT INTO t (name, n) VALUES (REPEAT('x', 70), 999), ('y', 'z')");
    said('warnings', $db->{"${lower}_warning_count"}) if $driver eq 'mysql';
    nap($kind) if $kind;
    said($kind || 'first', $db->selectall_arrayref('SHOW WARNINGS'));
    said($kind || 'first', error_of($db, 'INSERT INTO t (id) VALUES (1)'));
    nap($kind) if $kind;
    said($kind || 'first', $db->selectall_arrayref('SHOW ERRORS'));
    said($kind || 'first', error_of($db, 'SELECT * FROM missing'), error_of($db, 'SELEC 1'));
}

said('== found rows and changed rows');
for my $kind ('', 'steal', 'suspend', 'park') {
    $db->selectall_arrayref('SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 2');
    nap($kind) if $kind;
    said($kind, $db->selectrow_array('SELECT FOUND_ROWS()'));
    said($db->do('UPDATE t SET d = 7 WHERE id < 4'), $db->do('UPDATE t SET d = 7 WHERE id < 4'));
    nap($kind) if $kind;
    $db->do('UPDATE t SET d = d + 1 WHERE id < 4');
    nap($kind) if $kind;
    said($kind, $db->selectrow_array('SELECT ROW_COUNT()'));
}

said('== settings, user variables, temporary tables');
$db->do("SET \@a = 'ä', \@b = 1.50, time_zone = '+05:00', \@c = NULL");
for my $kind ('steal', 'suspend', 'park', 'kill') {
    nap($kind);
    said($kind, $db->selectrow_array('SELECT @a, @b, @c, @@time_zone, @@sql_mode, DATABASE(), COLLATION(@a)'));
}
$db->do('CREATE TEMPORARY TABLE temporary_t (i INT)');
$db->do('INSERT INTO temporary_t VALUES (1), (2)');
nap('steal', 'suspend', 'steal');
said($db->selectall_arrayref('SELECT * FROM temporary_t'), error_of($other, 'SELECT * FROM temporary_t'));
$db->do('DROP TEMPORARY TABLE temporary_t');

said('== locks');
said($db->selectrow_array("SELECT GET_LOCK('perl', 0)"));
nap('steal', 'suspend');
said($other->selectrow_array("SELECT GET_LOCK('perl', 0), IS_FREE_LOCK('perl')"));
my ($holder) = $other->selectrow_array("SELECT IS_USED_LOCK('perl')");
said('the lock is held by', $holder == $id ? 'its session' : 'another session');
said($db->selectrow_array("SELECT RELEASE_LOCK('perl')"), $db->selectrow_array("SELECT IS_USED_LOCK('perl')"));
$db->do('LOCK TABLES t WRITE');
nap('steal', 'suspend');
$other->do('SET lock_wait_timeout = 1');
said(error_of($other, 'UPDATE t SET d = 1 WHERE id = 1'));
said(error_of($db, 'SELECT * FROM other'));
$db->do('UNLOCK TABLES');
said($other->do('UPDATE t SET d = 1 WHERE id = 1'));

said('== stored code with several results');
$db->do('CREATE PROCEDURE results(OUT o INT) BEGIN SELECT id FROM t ORDER BY id LIMIT 2; SELECT name FROM t WHERE id = 1; SET o = 5; END');
nap('park');
my $call = $db->prepare('CALL results(@o)');
$call->execute;
do { said($call->fetchall_arrayref) if $call->{NUM_OF_FIELDS} } while ($call->more_results);
$call->finish;
said($db->selectrow_array('SELECT @o'));

said('== rows read one by one, while another session works');
$db->do('CREATE TABLE big (id INT PRIMARY KEY, s CHAR(200))');
$db->do("INSERT INTO big SELECT seq, REPEAT(MD5(seq), 5) FROM seq_1_to_5000");
my $reader = session();
# DBD::MariaDB 1.22 fetches no rows that way
my $rows = $reader->prepare('SELECT id, s FROM big ORDER BY id', $driver eq 'mysql' ? { mysql_use_result => 1 } : {});
$rows->execute;
my ($count, $sum) = (0, 0);
while (my $row = $rows->fetchrow_arrayref) {
    $count++;
    $sum += $row->[0] * length $row->[1];
    nap('steal') if $count == 2000;
}
said($count, $sum);

said('== what the driver knows of the server');
said($db->ping ? 'ping' : 'no ping');
nap('park');
said($db->ping ? 'ping' : 'no ping', $db->{"${lower}_serverinfo"} =~ /^(?:5\.5\.5-)?\d+\.\d+\.\d+-MariaDB/ ? 'MariaDB' : $db->{"${lower}_serverinfo"});
said(join ' ', sort map { my ($name) = /([^.]+)$/; $name =~ s/`//g; $name } $db->tables(undef, $ENV{SCHEMA}, '%', 'TABLE'));
said(map { $_->[3] } @{ $db->column_info(undef, $ENV{SCHEMA}, 't', '%')->fetchall_arrayref });
said($db->primary_key(undef, $ENV{SCHEMA}, 't'));

said('== kills');
($asked) = $db->selectrow_array('SELECT CONNECTION_ID()');
said('the connection id is as before:', $id == $asked ? 'yes' : 'no');
$other->do("KILL QUERY $id");
said($db->selectrow_array('SELECT 1'));
said(error_of($db, 'KILL QUERY CONNECTION_ID()'));
nap('steal');
# bound as a text
said(eval { $other->do('KILL ?', undef, $id); 1 } ? 'it can be killed' : 'KILL fails: ' . $other->err);
my $dead = error_of($db, 'SELECT 1');
said('killed:', $dead =~ /^(2006|2013) / ? 'gone' : $dead);
said('ping:', $db->ping ? 'yes' : 'no');
