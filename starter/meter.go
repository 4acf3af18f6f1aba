package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// meter shows how far something is: a bar with rate and time left on a
// terminal, else a plain line every few seconds.
type meter struct {
	s     *screen
	what  string
	unit  string
	total int64 // 0 while unknown
	start time.Time
	bar   *progressbar.ProgressBar
	said  time.Time // when it was last shown
	last  int64     // the largest number so far
	moved time.Time // when that changed

	rate float64    // units a second, and
	eta  *time.Time // the end, from who knows better than what is seen here
}

const (
	plainEvery = 2 * time.Second       // between two plain progress lines
	drawEvery  = 80 * time.Millisecond // between two pictures of a bar
	stalled    = time.Second           // without progress: rate and time left mean nothing
)

func (s *screen) newMeter(what, unit string, total int64) *meter {
	m := &meter{s: s, what: what, unit: unit, total: total, start: time.Now(), said: time.Now()}
	if !s.lively {
		return m
	}
	size := total
	if size == 0 {
		size = -1 // a spinner
	}
	m.bar = progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(s.err),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetPredictTime(false), // the text says it, with the rate
		progressbar.OptionSetWidth(24),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerHead: "█", SaucerPadding: "░", BarStart: "  ", BarEnd: " "}),
	)
	return m
}

// set shows that done of the total are done; note is an optional remark. What
// has been done stays done: a smaller number than before is not shown.
func (m *meter) set(done int64, note string) {
	if done > m.last {
		m.last, m.moved = done, time.Now()
	}
	switch {
	case m.bar != nil && time.Since(m.said) >= drawEvery:
		m.bar.Describe(m.text(note))
		_ = m.bar.Set64(m.last) // a bar that cannot be drawn stops nothing
	case m.bar == nil && time.Since(m.said) >= plainEvery && m.moved.After(m.said):
		m.s.note("  %s: %s", m.what, m.text(note))
	default:
		return
	}
	m.said = time.Now()
}

// close takes the bar away; the caller then says what came of it.
func (m *meter) close() {
	if m.bar != nil {
		_ = m.bar.Clear()
	}
}

// text writes how far it is: "500 of 1,000 leads, 250/s, 2.0 s left".
func (m *meter) text(note string) string {
	text := number(m.last) + " " + m.unit
	if m.total > 0 {
		text = fmt.Sprintf("%s of %s %s", number(m.last), number(m.total), m.unit)
	}
	rate, left := m.pace()
	if rate > 0 {
		text += fmt.Sprintf(", %s/s", number(rate))
	}
	if left > 0 {
		text += fmt.Sprintf(", %s left", took(left))
	}
	if note != "" {
		text += ", " + note
	}
	return text
}

// grow sets another total: there may turn out to be more.
func (m *meter) grow(total int64) {
	if m.bar != nil && total != m.total {
		m.bar.ChangeMax64(total)
	}
	m.total = total
}

// estimate takes rate and end from who knows better than what is seen here.
func (m *meter) estimate(rate float64, eta *time.Time) { m.rate, m.eta = rate, eta }

// pace is how many units a second are done, and how long the rest takes; 0 where
// that is not known.
func (m *meter) pace() (rate int64, left time.Duration) {
	if m.eta != nil {
		return int64(m.rate), time.Until(*m.eta)
	}
	if m.rate > 0 {
		return int64(m.rate), 0
	}
	rate = perSecond(m.last, m.moved.Sub(m.start))
	if rate == 0 || time.Since(m.moved) >= stalled {
		return 0, 0
	}
	return rate, time.Duration(max(0, m.total-m.last)) * time.Second / time.Duration(rate)
}

// perSecond is a rate in whole units a second.
func perSecond(n int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return n * int64(time.Second) / int64(d)
}

// waiting shows that something takes its time: a line with the time so far on
// a terminal, a plain line every half a minute elsewhere.
type waiting struct {
	s     *screen
	what  string
	start time.Time
	mu    sync.Mutex // one line at a time
	quit  chan struct{}
	gone  chan struct{}
}

func (s *screen) waiting(what string) *waiting {
	w := &waiting{s: s, what: what, start: time.Now(), quit: make(chan struct{}), gone: make(chan struct{})}
	go w.run()
	return w
}

func (w *waiting) run() {
	defer close(w.gone)
	every := 30 * time.Second
	if w.s.lively {
		every = 100 * time.Millisecond
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-ticks.C:
			w.mu.Lock()
			if w.s.lively {
				w.s.status("  %s … %s", w.what, took(time.Since(w.start)))
			} else {
				w.s.note("  still %s after %s", w.what, took(time.Since(w.start)))
			}
			w.mu.Unlock()
		}
	}
}

// interrupt takes the line away for something else that is said.
func (w *waiting) interrupt(say func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.s.status("")
	say()
}

func (w *waiting) stop() {
	close(w.quit)
	<-w.gone
	w.s.status("")
}
