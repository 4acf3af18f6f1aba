// Package chrome starts a Chromium without a window.
package chrome

import (
	"context"
	"os"
	"os/exec"

	"github.com/chromedp/chromedp"
)

// Path is where Chromium is; empty where there is none. HOLDFAST_CHROMIUM names
// another one.
func Path() string {
	for _, name := range []string{os.Getenv("HOLDFAST_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Start starts Chromium; contexts of browsers and tabs are made from the one
// returned. It ends with stop.
func Start(ctx context.Context) (allocator context.Context, stop func()) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(Path()), chromedp.DisableGPU,
		chromedp.NoSandbox, // tests run as root in containers, on pages of this repository
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("lang", "en-US"),
	)
	return chromedp.NewExecAllocator(ctx, options...)
}
