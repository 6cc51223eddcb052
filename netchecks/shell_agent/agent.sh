# Does what the agent does (netchecks/agent.py), by the tools of a node without python3: tcpdump, ping, bash or nc, perl.
# Works with dash, bash and busybox sh. The trip's script tells its private folder in $d, in the line before this text.
# Every file here begins with a line that names it, so that they all go in one stream; it is read by shell_agent/reading.py.
export LC_ALL=C LANG=C TMPDIR="$d"
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export PATH
p=$d/agent c= t=timeout X= n='@N@'
has() { command -v "$1" >/dev/null 2>&1; }
for x in date sed head cat; do has "$x" || { echo "neither python3 nor $x: not found" >&2; exit 127; }; done
case $(timeout --version 2>/dev/null) in *coreutils*) t='timeout --foreground' ;; esac
u() { read -r U _ </proc/uptime; }
nap() { sleep "$1" 2>/dev/null || sleep 1; }
part() { printf '\n%s %s\n' "$n" "$*"; }
hundredths() { h=${1%.*}${1#*.}; h=${h#0}; h=${h#0}; h=${h:-0}; }

# It ends when the one who started it ends, or when its folder is gone: then nobody reads what it finds.
( s=; trap 'kill $s; exit' TERM; while [ -d "$d" ] && kill -0 "$$"; do sleep 1 & s=$!; wait "$s"; done; kill -TERM 0 ) >/dev/null 2>&1 & w=$!
trap 'trap "" TERM; kill $w $c $l 2>/dev/null; exit 1' HUP INT TERM

# The uptime and the time of day of one moment. Without a date that tells fractions: that at which a second begins.
u; W=$(date +%s.%N)
case $W in
*[!0-9.]* | *.) W=$(date +%s); while [ "$(date +%s)" = "$W" ]; do nap 0.01; done; u; W=$((W+1)) ;;
esac
{ part t; echo "$U $W"; } >"$p-t"

# Never in promiscuous mode, which would mask faults. AppArmor lets tcpdump write to names that end so, and to no others.
capture() { # number namespace device packets bytes filter
  f=$p-c$1 m=$3
  case $3 in mac:*)
    m=$(${2:+ip netns exec "$2"} ip -o link show | sed -n "s,^[0-9]*: \([^:@]*\)[:@].* link/ether ${3#mac:} .*,\1,p" | head -n 1)
    [ -n "$m" ] || { part "e$1-in"; echo "$3: No such device"; } >"$f-e.in.pcap" ;;
  esac
  has tcpdump || { part "e$1-in"; echo 'missing: tcpdump'; } >"$f-e.in.pcap"
  [ -s "$f-e.in.pcap" ] || for q in in out; do
    part "e$1-$q" >"$f-e.$q.pcap"; part "c$1-$q" >"$f.$q.pcap"
    ${2:+ip netns exec "$2"} tcpdump -n -p -U --immediate-mode -B 1024 -s "$5" -c "$4" -Q "$q" -i "$m" -w - "$6" \
      </dev/null >>"$f.$q.pcap" 2>>"$f-e.$q.pcap" & c="$c $!"
  done
}
# Wait until a capture listens, or has said why not.
listening() {
  while :; do
    x=
    while read -r line; do case $line in *'listening on'*) return 0 ;; ?*) x=$line ;; esac; done <"$1"
    case $x in '' | "$n "*) ;; *) nap 0.1; x=; while read -r line; do case $line in *'listening on'*) return 0 ;; esac; done <"$1"; return 1 ;; esac
    k=$((k+1)); [ "$k" -lt 150 ] || return 1
    nap 0.02
  done
}
opened() { # number
  [ -e "$p-c$1-e.out.pcap" ] && listening "$p-c$1-e.in.pcap" && listening "$p-c$1-e.out.pcap" && { u; { part "o$1"; echo "$U"; } >"$p-o$1"; }
}

# One action, unless it is too late: what it says, how it ended, from when to when.
e() { # number command arguments
  i=$1; shift; u
  [ "${U%.*}" -lt "$stop" ] || return 0
  { part "a$i" "$U"; "$@"; s=$?; u; part "end $s $U"; } >"$p-a$i" 2>&1 </dev/null
}
cannot() { echo "$*"; return 99; }
# One action in a network namespace, whose name is a word without anything that a shell would take apart.
within() { X="ip netns exec $1"; shift; "$@"; z=$?; X=; return "$z"; }
echo_() { # target bytes count fragments
  has ping || { cannot 'missing: ping'; return; }
  case $1 in *:*) if has ping6; then g=ping6; else g='ping -6'; fi ;; *) g=ping ;; esac
  case $iputils in *iputils*)
    $X $g -n -c 1 -w "$3" -s "$2" $([ "$4" = 1 ] || echo -M do) "$1" ;;
  *)
    [ "$4" = 1 ] || { cannot 'impossible: the ping there has no -M do'; return; }
    r=0; while $X $g -c 1 -W 1 -s "$2" "$1"; s=$?; r=$((r+1)); [ "$s" != 0 ] && [ "$r" -lt "$3" ]; do :; done; return "$s" ;;
  esac
}
tcp_() { # target port seconds
  if has bash; then $t "$3" $X bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$1" "$2"
  elif has nc; then
    # that of busybox goes on until the other side closes, unless a program is there to end at once
    case $(nc -h 2>&1 </dev/null) in *BusyBox*) $t "$3" $X nc -w "$3" "$1" "$2" -e true ;; *) $t "$3" $X nc -n -v -z -w "$3" "$1" "$2" ;; esac
  elif has curl; then case $1 in *:*) z="[$1]" ;; *) z=$1 ;; esac; $t "$3" $X curl -g -s -v -o /dev/null "telnet://$z:$2"
  else cannot 'missing: bash, nc or curl'; fi
}
udp_() { # number target port seconds
  has bash || has nc || { cannot 'missing: bash or nc'; return; }
  has bash || case $(nc -h 2>&1 </dev/null) in *[[:space:]]-u*) ;; *) cannot 'impossible: the nc there has no -u'; return ;; esac
  part "d$1" >"$p-d$1"
  z=0
  while [ "$z" -lt 2 ]; do
    z=$((z+1)); echo 'one sent'
    if has bash; then
      $t "$4" $X bash -c 'exec 3<>"/dev/udp/$1/$2" && cat "$3" >&3 && dd bs=65535 count=1 <&3 >>"$4"' bash "$2" "$3" "$p.u$1" "$p-d$1"; s=$?
    else
      # some end at the end of their input, and wait for no answer
      { cat "$p.u$1"; sleep "$4"; } | $t "$4" $X nc -u -w "$4" "$2" "$3" >>"$p-d$1"; s=$?
      { read -r line; read -r line; read -r line || [ -n "$line" ]; } <"$p-d$1" && return 0
      [ "$s" != 0 ] || s=124
    fi
    case $s in 124 | 137 | 143) ;; *) break ;; esac
  done
  return "$s"
}
row_() { # target packets gap port ports
  if [ "$4" = 0 ]; then
    has ping || { cannot 'missing: ping'; return; }
    case $iputils in *iputils*) ;; *) cannot 'impossible: the ping there sends one a second'; return ;; esac
    case $1 in *:*) if has ping6; then g=ping6; else g='ping -6'; fi ;; *) g=ping ;; esac
    if [ "$(id -u)" = 0 ]; then $X $g -n -c "$2" -i "$3" -W 1 -s 32 "$1"; else $X $g -n -c 12 -i 0.2 -W 1 -s 32 "$1"; fi
    return
  fi
  z=0 j=
  while [ "$z" -lt "$5" ]; do
    z=$((z+1))
    { o=$(tcp_ "$1" "$4" 2 2>&1); s=$?; case $o in *efused*) s=0 ;; esac; [ "$s" != 99 ] || echo "$o"; echo "row $z $s"; } & j="$j $!"
  done
  wait $j
}
iputils=$(ping -V 2>&1)
# Frames and packets: as they are by perl, else those that another tool sends alike. Each line says what became of which.
sender() { # number namespace end
  { part "s$1"; if has perl; then ${2:+ip netns exec "$2"} perl "$p.pl" "$p" "$zero" "$3" <"$p.s$1"; else w=${2:+ip netns exec $2}; "alike$1"; fi; } \
    >"$p-s$1" 2>&1
}
without() { echo "$1 $2"; }
remain() { # hundredths of a second since the beginning
  hundredths "$zero"; z=$(($1+h)); u; hundredths "$U"; z=$((z-h))
  [ "$z" -le 0 ] || { r=$((z%100)); [ "$r" -gt 9 ] || r=0$r; nap "$((z/100)).$r"; }
}
known() { # pattern captures
  [ -n "$1" ] || return 1
  for z in $2; do od -An -v -tx1 "$p-c$z.in.pcap" | tr -d ' \n' | grep -q "$1" && return 0; done; return 1
}
told() { # number status: a tool's end, 1 without an answer
  if [ "$2" -lt 2 ]; then echo "$1 ok"; else echo "$1 error [Errno 5] the tool that sends it failed ($2)"; fi
}
arp_() { # number at device source target pattern captures
  has arping || { without "$1" 'missing: perl or arping'; return; }
  case $(arping -h 2>&1) in *Habets*) y=-S ;; *) y=-s ;; esac
  remain "$2"
  known "$6" "$7" && { without "$1" needless; return; }
  u; echo "$1 at $U"
  if [ "$y" = -s ]; then $w arping -c 1 -w 1 -I "$3" -s "$4" "$5"; else $w arping -c 1 -w 1 -i "$3" -S "$4" "$5"; fi >/dev/null
  told "$1" "$?"
}
echoes_() { # number source target, then for each: at bytes pattern
  case $(uname -m)$iputils in *64*iputils* | s390x*iputils*) ;; *) without "$1" 'missing: perl or a ping that takes a pattern'; return ;; esac
  n1=$1 n2=$2 n3=$3 j=; shift 3
  case $n3 in *:*) if has ping6; then g=ping6; else g='ping -6'; fi ;; *) g=ping ;; esac
  while [ $# -gt 2 ]; do
    remain "$1"; u; echo "$n1 at $U"
    { $g -n -c 1 -W 1 -s "$2" -p "$3" -I "$n2" "$n3" >/dev/null; told "$n1" "$?"; } & j="$j $!"
    shift 3
  done
  wait $j
}
datagrams_() { # number source target, then for each: at port port payload
  has nc || { without "$1" 'missing: perl or nc'; return; }
  case $(nc -h 2>&1 </dev/null) in *[[:space:]]-u*) ;; *) without "$1" 'missing: perl or an nc that has -u'; return ;; esac
  n1=$1 n2=$2 n3=$3 j=; shift 3
  while [ $# -gt 3 ]; do
    remain "$1"; u; echo "$n1 at $U"
    { printf "$4" | $t 1 nc -u -w 1 -s "$n2" -p "$2" "$n3" "$3" >/dev/null; case $? in 0 | 1 | 124 | 143) echo "$n1 ok" ;; *) told "$n1" 9 ;; esac; } & j="$j $!"
    shift 4
  done
  wait $j
}
