package report

import (
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// Series is one line or one group of bars of a plot.
type Series struct {
	Name   string
	X, Y   []float64
	Dashed bool
}

// Axes label a plot.
type Axes struct {
	Title, X, Y string
	LogX, LogY  bool
	LegendRight bool // for lines that fall
}

// Lines draws series with their points into dir/name.svg and returns the path.
func Lines(dir, name string, axes Axes, series ...Series) (string, error) {
	p := axes.plot()
	for i, s := range series {
		points := make(plotter.XYs, len(s.X))
		for j := range s.X {
			points[j].X, points[j].Y = s.X[j], s.Y[j]
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return "", err
		}
		line.Color, marks.Color = plotutil.Color(i), plotutil.Color(i)
		line.Width = vg.Points(1.5)
		marks.Shape = plotutil.Shape(i)
		if s.Dashed {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(line, marks)
		p.Legend.Add(s.Name, line, marks)
	}
	if !axes.LogY {
		p.Y.Min = 0
	}
	return save(p, dir, name)
}

// Bars draws one bar per label and series side by side into dir/name.svg and
// returns the path. Each series has a Y for every label.
func Bars(dir, name string, axes Axes, labels []string, series ...Series) (string, error) {
	p := axes.plot()
	width := vg.Points(max(6, 160/float64(len(labels)*max(1, len(series)))))
	for i, s := range series {
		bars, err := plotter.NewBarChart(plotter.Values(s.Y), width)
		if err != nil {
			return "", err
		}
		bars.Color = plotutil.Color(i)
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(series)-1)/2)
		p.Add(bars)
		if s.Name != "" {
			p.Legend.Add(s.Name, bars)
		}
	}
	p.NominalX(labels...)
	return save(p, dir, name)
}

func (a Axes) plot() *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = a.Title, a.X, a.Y
	p.Title.Padding = vg.Points(6)
	p.Legend.Top = true
	p.Legend.Left = !a.LegendRight
	p.Add(plotter.NewGrid())
	if a.LogX {
		p.X.Scale = plot.LogScale{}
		p.X.Tick.Marker = plot.LogTicks{Prec: -1}
	}
	if a.LogY {
		p.Y.Scale = plot.LogScale{}
		p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	}
	return p
}

func save(p *plot.Plot, dir, name string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".svg")
	return path, p.Save(18*vg.Centimeter, 11*vg.Centimeter, path)
}
