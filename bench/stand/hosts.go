package stand

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Hosts are stand-ins for machines of workers: network namespaces of Linux behind
// a bridge, with an address and a limit of CPU each. The network is that of RFC 2544.
type Hosts struct {
	Cores float64 // what each has of one core
	made  []string
	free  []host // whose worker has ended; mail hosts know their addresses
}

const (
	bridge  = "hfbench"
	gateway = "198.18.0.1"
	// period is how often the kernel gives a host its share: short, so that a
	// worker that has used it answers soon again.
	period = 20_000 // µs
)

// admit lets hosts in at PostgreSQL, with its password.
func (h *Hosts) admit(ctx context.Context, pool *pgxpool.Pool) error {
	var path string
	if err := pool.QueryRow(ctx, `SHOW hba_file`).Scan(&path); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, "\nhost all all 198.18.0.0/24 scram-sha-256\n"...), 0o600); err != nil { // its owner stays
		return err
	}
	_, err = pool.Exec(ctx, `SELECT pg_reload_conf()`)
	return err
}

// host is one of them.
type host struct {
	n                         int
	namespace, address, group string
}

// MakeHosts makes the bridge. It needs root, ip (iproute2) and cgroups.
func MakeHosts(cores float64) (*Hosts, error) {
	h := &Hosts{Cores: cores}
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces and cgroups need root")
	}
	_ = run("ip", "link", "del", bridge) // of a run that was killed
	return h, steps(
		[]string{"ip", "link", "add", bridge, "type", "bridge"},
		[]string{"ip", "addr", "add", gateway + "/24", "dev", bridge},
		[]string{"ip", "link", "set", bridge, "up"},
		// Servers and mail hosts are on the loopback network; hosts reach it as
		// another machine's.
		[]string{"sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/" + bridge + "/route_localnet"},
	)
}

// take gives a host that is free, the one that was made first, or a new one.
func (h *Hosts) take() (host, error) {
	if len(h.free) > 0 {
		slices.SortFunc(h.free, func(a, b host) int { return cmp.Compare(a.n, b.n) })
		one := h.free[0]
		h.free = h.free[1:]
		return one, nil
	}
	return h.add()
}

// add makes one more host.
func (h *Hosts) add() (host, error) {
	n := len(h.made) + 1
	one := host{
		n: n, namespace: bridge + strconv.Itoa(n), address: "198.18.0." + strconv.Itoa(n+1), group: groups(bridge + strconv.Itoa(n)),
	}
	h.made = append(h.made, one.namespace)
	_ = run("ip", "netns", "del", one.namespace) // of a run that was killed
	outer := "hfb" + strconv.Itoa(n)
	inside := func(args ...string) []string { return append([]string{"ip", "-n", one.namespace}, args...) }
	if err := steps(
		[]string{"ip", "netns", "add", one.namespace},
		[]string{"ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", one.namespace},
		[]string{"ip", "link", "set", outer, "master", bridge, "up"},
		inside("addr", "add", one.address+"/24", "dev", "eth0"),
		inside("link", "set", "eth0", "up"),
		[]string{"ip", "netns", "exec", one.namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet"},
		// lo is down, so the loopback network is free to lead elsewhere.
		inside("route", "add", "127.0.0.0/8", "via", gateway, "src", one.address),
	); err != nil {
		return one, err
	}
	return one, h.limit(one)
}

// groups is the folder of a control group for CPU, of version 2 or 1.
func groups(name string) string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return filepath.Join("/sys/fs/cgroup", name)
	}
	return filepath.Join("/sys/fs/cgroup/cpu", name)
}

func (h *Hosts) limit(one host) error {
	if err := os.Mkdir(one.group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("no limit of CPU can be set: %w", err)
	}
	quota := strconv.Itoa(int(h.Cores * period))
	files := map[string]string{"cpu.max": quota + " " + strconv.Itoa(period)}
	if strings.HasPrefix(one.group, "/sys/fs/cgroup/cpu/") {
		files = map[string]string{"cpu.cfs_period_us": strconv.Itoa(period), "cpu.cfs_quota_us": quota}
	}
	for name, value := range files {
		if err := os.WriteFile(filepath.Join(one.group, name), []byte(value), 0o600); err != nil {
			return fmt.Errorf("no limit of CPU can be set: %w", err)
		}
	}
	return nil
}

// command runs a program on a host. It is in its group before it is in the
// namespace, from which the groups cannot be seen.
func (one host) command(program string, args ...string) *exec.Cmd {
	line := `echo $$ > ` + filepath.Join(one.group, "cgroup.procs") + ` && exec ip netns exec ` + one.namespace + ` "$0" "$@"`
	return exec.Command("sh", append([]string{"-c", line, program}, args...)...) //nolint:noctx // the caller ends it
}

// Close removes all of them; their workers must have ended.
func (h *Hosts) Close() error {
	var err error
	for _, name := range h.made {
		err = errors.Join(err, run("ip", "netns", "del", name), os.Remove(groups(name)))
	}
	return errors.Join(err, run("ip", "link", "del", bridge))
}

func steps(all ...[]string) error {
	for _, args := range all {
		if err := run(args...); err != nil {
			return err
		}
	}
	return nil
}

func run(args ...string) error {
	out, err := exec.CommandContext(context.Background(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
