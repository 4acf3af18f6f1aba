// Command shots takes screenshots of every page of the dashboard of a dev stack
// that was started with --leads 20000: light, dark, and on a phone.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"holdfast/browser/chrome"
)

const org = "globex"

func main() {
	ready := flag.String("ready", ".holdfast/dev/ready.json", "ready file of the dev stack")
	dir := flag.String("dir", "../docs/screenshots", "where the pictures go")
	only := flag.String("only", "", "names of pages, with commas between; all when left out")
	looks := flag.String("looks", "light,dark,phone", "which looks")
	flag.Parse()
	if err := run(*ready, *dir, *only, strings.Split(*looks, ",")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// server is the stack that is photographed.
type server struct {
	API string `json:"api"`
	URL string `json:"dashboard"`
	Key string `json:"operator_key"`
}

// shot is a page, seen by the operator or by the admin of the organization.
type shot struct {
	name, path string
	operator   bool
	prepare    chromedp.Action[chromedp.Void] // before the picture; may be nil
}

func run(ready, dir, only string, looks []string) error {
	text, err := os.ReadFile(ready)
	if err != nil {
		return err
	}
	var s server
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	s.URL = strings.TrimSuffix(s.URL, "/")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*20*time.Second)
	defer cancel()
	shots, err := s.shots(ctx)
	if err != nil {
		return err
	}
	key, err := s.adminKey(ctx)
	if err != nil {
		return err
	}
	allocator, stop := chrome.Start(ctx)
	defer stop()
	first, closeFirst := chromedp.NewContext(allocator)
	defer closeFirst()
	if err := chromedp.Do(first); err != nil {
		return err
	}
	for _, operator := range []bool{false, true} {
		tab, done := chromedp.NewContext(first, chromedp.WithNewBrowserContext())
		defer done()
		secret := key
		if operator {
			secret = s.Key
		}
		if err := chromedp.Do(tab, chromedp.Navigate(s.URL+"/app/login"),
			chromedp.SendKeys(`input[name=key]`, secret), chromedp.Submit(`input[name=key]`), chromedp.WaitReady(`nav`)); err != nil {
			return err
		}
		for _, look := range looks {
			for _, shot := range shots {
				if shot.operator != operator || only != "" && !slices.Contains(strings.Split(only, ","), shot.name) {
					continue
				}
				if err := s.take(tab, shot, look, dir); err != nil {
					return fmt.Errorf("%s: %w", shot.name, err)
				}
			}
		}
	}
	return nil
}

// take takes one picture. A phone is as tall as the page, up to three screens.
func (s server) take(tab context.Context, shot shot, look, dir string) error {
	tab, cancel := context.WithTimeout(tab, 20*time.Second)
	defer cancel()
	width, height, theme := int64(1280), int64(860), "light"
	switch look {
	case "dark":
		theme = "dark"
	case "phone":
		width, height = 360, 780
	}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
	}); err != nil {
		return err
	}
	actions := []chromedp.Action[chromedp.Void]{
		chromedp.EmulateViewport(width, height), chromedp.Navigate(s.URL + shot.path),
	}
	if shot.prepare != nil {
		actions = append(actions, shot.prepare)
	}
	for i, a := range actions {
		if err := chromedp.Do(tab, a); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	picture, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	small, err := shrink(picture)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, shot.name+"-"+look+".png"), small, 0o644)
}

// shrink keeps the 256 most frequent colours: a page has few.
func shrink(picture []byte) ([]byte, error) {
	whole, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	counts := map[color.RGBA]int{}
	full := image.NewRGBA(whole.Bounds())
	draw.Draw(full, full.Bounds(), whole, image.Point{}, draw.Src)
	for y := range full.Rect.Dy() {
		for x := range full.Rect.Dx() {
			counts[full.RGBAAt(x, y)]++
		}
	}
	colours := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int { return counts[b] - counts[a] })
	palette := color.Palette{}
	for _, c := range colours[:min(256, len(colours))] {
		palette = append(palette, c)
	}
	small := image.NewPaletted(full.Rect, palette)
	nearest := map[color.RGBA]uint8{}
	for y := range full.Rect.Dy() {
		for x := range full.Rect.Dx() {
			c := full.RGBAAt(x, y)
			at, ok := nearest[c]
			if !ok {
				at = uint8(palette.Index(c))
				nearest[c] = at
			}
			small.SetColorIndex(x, y, at)
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&out, small)
	return out.Bytes(), err
}

// ask calls the API with the operator key.
func (s server) ask(ctx context.Context, method, path, body string, out any) error {
	r, err := http.NewRequestWithContext(ctx, method, s.API+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.Key)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // read already
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(out)
}

func (s server) adminKey(ctx context.Context) (string, error) {
	var made struct {
		Secret string `json:"secret"`
		Key    string `json:"key"`
	}
	err := s.ask(ctx, http.MethodPost, "/orgs/"+org+"/keys", `{"member":"ann"}`, &made)
	return made.Key, err
}

// placed is an order as the API lists it.
type placed struct {
	ID        string `json:"id"`
	Requested int64  `json:"requested"`
}

// shots are all pages.
func (s server) shots(ctx context.Context) ([]shot, error) {
	at := "/app/o/" + org
	list := []shot{
		{name: "login", path: "/app/login"},
		{name: "home", path: at},
		{name: "orders", path: at + "/orders"},
		{name: "new", path: at + "/new"},
		{name: "new-leads", path: at + "/new/leads?country=US"},
		{name: "new-list", path: at + "/new/list"},
		{name: "new-reveal", path: at + "/new/reveal"},
		{name: "new-export", path: at + "/new/export"},
		{name: "credits", path: at + "/credits"},
		{name: "grants", path: at + "/grants", operator: true},
		{name: "keys", path: at + "/keys"},
		{name: "leads", path: at + "/leads"},
		{name: "team", path: at + "/team"},
		{name: "settings", path: at + "/settings"},
		{name: "buy", path: at + "/buy"},
		{name: "alerts", path: at + "/alerts"},
		{name: "suppressions", path: at + "/suppressions"},
		{name: "events", path: at + "/events"},
		{name: "plan", path: at + "/plan?to=rollover-boost"},
		{name: "manage", path: at + "/manage", operator: true},
		{name: "plan-edit", path: "/app/operator/plans/verified-leads", operator: true},
		{name: "verification", path: "/app/operator/verification", operator: true},
		{name: "operator", path: "/app/operator", operator: true},
		{name: "all-orders", path: "/app/operator/orders", operator: true},
		{name: "plans", path: "/app/operator/plans", operator: true},
		{name: "all-events", path: "/app/operator/events", operator: true},
		{name: "all-resets", path: "/app/operator/resets", operator: true},
		{name: "system", path: "/app/operator/system", operator: true},
		{name: "erasure", path: "/app/operator/erasure", operator: true},
		{name: "resets", path: at + "/resets", operator: true},
		{name: "not-found", path: at + "/orders/ord_none"},
	}
	webhook, err := s.webhook(ctx)
	if err != nil {
		return nil, err
	}
	list = append(list, shot{name: "webhook", path: at + "/settings/webhooks/" + webhook})
	for _, status := range []string{"settled", "verifying", "completed", "rejected", "cancelled"} {
		var found struct {
			Orders []placed `json:"orders"`
		}
		if err := s.ask(ctx, http.MethodGet, "/orders?limit=20&org="+org+"&status="+status, "", &found); err != nil {
			return nil, err
		}
		if status == "settled" && len(found.Orders) > 0 { // the newest one was carried out, the others are a history without contacts
			list = append(list, shot{name: "contacts", path: at + "/orders/" + found.Orders[0].ID + "/contacts"})
		}
		slices.SortStableFunc(found.Orders, func(a, b placed) int { return cmp.Compare(b.Requested, a.Requested) }) // the largest one has most to show
		if len(found.Orders) > 0 {
			list = append(list, shot{name: "order-" + status, path: at + "/orders/" + found.Orders[0].ID})
		}
	}
	return list, nil
}

// webhook is the webhook of the organization, made where there is none.
func (s server) webhook(ctx context.Context) (id string, err error) {
	var found struct {
		Webhooks []struct {
			ID string `json:"id"`
		} `json:"webhooks"`
	}
	if err := s.ask(ctx, http.MethodGet, "/webhooks?org="+org, "", &found); err != nil {
		return "", err
	}
	if len(found.Webhooks) > 0 {
		return found.Webhooks[0].ID, nil
	}
	var made struct {
		ID string `json:"id"`
	}
	err = s.ask(ctx, http.MethodPost, "/webhooks?org="+org, `{"url":"https://example.com/holdfast","events":["order.settled","credits.low"]}`, &made)
	return made.ID, err
}
