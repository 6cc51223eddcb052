# Sends the agent's frames and packets in time, with nothing but perl itself. Says on stdout what it did, one line each.
# Arguments: the beginning of the names of the captures' files; the uptime that times count from; the uptime at which it ends.
use strict;
$| = 1;
my ($files, $zero, $end) = @ARGV;
my (@asks, @due);

sub uptime { open my $file, "<", "/proc/uptime" or die "uptime: $!"; return (split " ", <$file>)[0] }
sub failed { my $ask = shift; print "$ask->{n} error [Errno ", $! + 0, "] $!\n"; $ask->{over} = 1 }

sub to { # ask: open what it sends by
    my $ask = shift;
    if ($ask->{kind} eq "device") {
        socket($ask->{by}, 17, 3, 0) or return failed($ask); # AF_PACKET, SOCK_RAW
        my $request = pack "a16 x24", $ask->{to};
        defined ioctl($ask->{by}, 0x8933, $request) or return failed($ask); # SIOCGIFINDEX
        bind($ask->{by}, pack "S n i S C C a8", 17, 0, unpack("x16 i", $request), 0, 0, 0, "") or failed($ask);
    } elsif ($ask->{kind} eq "4") {
        socket($ask->{by}, 2, 3, 255) or return failed($ask); # AF_INET, SOCK_RAW, IPPROTO_RAW
        $ask->{address} = pack "S n H8 x8", 2, 0, $ask->{to};
    } else {
        socket($ask->{by}, 10, 3, 255) or return failed($ask); # AF_INET6
        $ask->{address} = pack "S n N H32 L", 10, 0, 0, $ask->{to}, 0;
    }
}

sub seen { # ask: whether one of the captured frames is what makes it needless
    my $ask = shift;
    for my $number (@{$ask->{captures}}) {
        open my $file, "<:raw", "$files-c$number.in.pcap" or next;
        my $data = do { local $/; <$file> };
        my $at = index($data, pack "L", 0xa1b2c3d4);
        next if $at < 0;
        for ($at += 24; $at + 16 <= length $data;) {
            my $length = unpack "L", substr $data, $at + 8, 4;
            my $frame = substr $data, $at + 16, $length;
            $at += 16 + $length;
            return 1 unless grep { substr($frame, $_->[0], length $_->[1]) ne $_->[1] } @{$ask->{unless}};
        }
    }
    return 0;
}

while (<STDIN>) {
    my ($word, @rest) = split;
    if ($word eq "ask") {
        my ($n, $kind, $to, $at, $gap, $captures, $unless, $head, $tail) = map { $_ eq "-" ? "" : $_ } @rest;
        my @unless = map { my ($offset, $hex) = split /:/; [$offset, pack "H*", $hex] } split /,/, $unless;
        push @asks, {
            n => $n, kind => $kind, to => $to, at => $at, gap => $gap, captures => [split /,/, $captures], unless => \@unless,
            head => $head, tail => $tail, sent => 0,
        };
        to($asks[-1]);
    } elsif ($word eq "frame") {
        my $ask = $asks[-1];
        push @due, [$zero + $ask->{at} + $ask->{gap} * $ask->{sent}++, $ask, pack "H*", $ask->{head} . ($rest[0] // "") . $ask->{tail}];
    }
}
for my $one (sort { $a->[0] <=> $b->[0] } @due) {
    my ($at, $ask, $data) = @$one;
    next if $ask->{over};
    my $wait = $at - uptime();
    select undef, undef, undef, $wait if $wait > 0;
    last if uptime() > $end;
    if (@{$ask->{unless}} and seen($ask)) {
        print "$ask->{n} needless\n";
        $ask->{over} = 1;
        next;
    }
    print "$ask->{n} at ", uptime(), "\n";
    defined($ask->{address} ? send($ask->{by}, $data, 0, $ask->{address}) : send($ask->{by}, $data, 0)) or failed($ask), next;
    print "$ask->{n} ok\n";
}
