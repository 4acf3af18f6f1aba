package stand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
)

// CPU is the processor time, user and system, that each part has used so far.
type CPU struct {
	Worker, Postgres, Temporal time.Duration
	Lab                        time.Duration // this process: the mail lab, and what it does itself
}

// Minus is the difference between two readings.
func (c CPU) Minus(before CPU) CPU {
	return CPU{c.Worker - before.Worker, c.Postgres - before.Postgres, c.Temporal - before.Temporal, c.Lab - before.Lab}
}

// Ours is the time of all parts but the mail lab, which stands for the world.
func (c CPU) Ours() time.Duration { return c.Worker + c.Postgres + c.Temporal }

// process is a line of /proc.
type process struct {
	pid, parent int
	name        string
	cpu         time.Duration // its own and that of children that have ended
}

// tick is the unit of times in /proc, the same on every Linux.
const tick = 10 * time.Millisecond

// CPU reads the processor times of this process and all below it.
func (s *Stand) CPU() (CPU, error) {
	processes, err := processes()
	if err != nil {
		return CPU{}, err
	}
	var c CPU
	self := os.Getpid()
	for _, p := range processes {
		switch {
		case p.pid == self:
			c.Lab += p.cpu
		case p.pid == s.worker.cmd.Process.Pid:
			c.Worker += p.cpu
		case !below(processes, p, self):
		case p.name == "postgres":
			c.Postgres += p.cpu
		default:
			c.Temporal += p.cpu
		}
	}
	return c, nil
}

func below(processes map[int]process, p process, ancestor int) bool {
	for ok := true; ok; p, ok = processes[p.parent] {
		if p.parent == ancestor {
			return true
		}
	}
	return false
}

func processes() (map[int]process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	list := map[int]process{}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		p, err := parseStat(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list[p.pid] = p
	}
	if len(list) == 0 {
		return nil, errors.New("processor times are read from /proc; run this on Linux")
	}
	return list, nil
}

// parseStat reads /proc/PID/stat, see proc(5): PID (NAME) STATE PPID …, with
// the processor times in fields 14 to 17. The name may hold anything.
func parseStat(line string) (process, error) {
	start, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if start < 0 || end < start {
		return process{}, fmt.Errorf("%q is no line of process times", line)
	}
	p := process{name: line[start+1 : end]}
	fields := strings.Fields(line[end+1:]) // from field 3 on
	if len(fields) < 15 {
		return process{}, fmt.Errorf("%q is no line of process times", line)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line[:start]))
	if err != nil {
		return process{}, err
	}
	p.pid = pid
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return process{}, err
	}
	for _, field := range fields[11:15] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return process{}, err
		}
		p.cpu += time.Duration(ticks) * tick
	}
	return p, nil
}

// ForgetPeak makes PeakMemory start again.
func (s *Stand) ForgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.worker.cmd.Process.Pid), []byte("5"), 0)
}

// PeakMemory is the most memory, in bytes, that was resident in the worker at
// any moment since ForgetPeak, as the kernel has counted it.
func (s *Stand) PeakMemory() (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", s.worker.cmd.Process.Pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("%s has no VmHWM", path)
}

// DatabaseSize is the size of the database in bytes: tables, indexes and what
// PostgreSQL keeps beside them, without the log.
func (s *Stand) DatabaseSize(ctx context.Context) (int64, error) {
	var size int64
	err := s.App.Pool.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&size)
	return size, err
}

// History says how much Temporal keeps of a workflow.
type History struct {
	Runs      int // continued as new this often, and one
	MaxEvents int // of the longest run
	MaxBytes  int // of the longest run
	Bytes     int // of all runs
	Cost          // of all runs
}

// History reads all runs of a workflow that is over, from the last one back.
func (s *Stand) History(ctx context.Context, id string) (History, error) {
	var h History
	for run, more := "", true; more; more = run != "" {
		events := s.App.Temporal.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		var all []*history.HistoryEvent
		bytes := 0
		run = ""
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				return h, err
			}
			if started := event.GetWorkflowExecutionStartedEventAttributes(); started != nil {
				run = started.ContinuedExecutionRunId
			}
			all = append(all, event)
			bytes += proto.Size(event)
		}
		h.Runs++
		h.Bytes += bytes
		cost := costOf(all)
		h.Tasks += cost.Tasks
		h.Actions += cost.Actions
		h.MaxEvents, h.MaxBytes = max(h.MaxEvents, len(all)), max(h.MaxBytes, bytes)
	}
	return h, nil
}
