package maillab

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sort"
	"strconv"
)

// CatalogueOptions describe a synthetic catalogue. The world options must be
// those of the lab that it is verified against.
type CatalogueOptions struct {
	Seed    uint64
	Domains int    // 0 means 2,000
	Only    []Kind // empty means the usual mix
	// ValidShare is the part of the rows whose address verifies as valid;
	// 0 means 0.5.
	ValidShare float64
}

// CatalogueHeader names the columns of a catalogue.
var CatalogueHeader = []string{
	"id", "email", "first_name", "last_name", "title", "seniority", "department", "company", "domain",
	"industry", "headcount", "country", "region", "city", "phone", "direct_email", "profile",
}

// WriteCatalogue writes n synthetic people as CSV with a header, streaming.
// Ids and addresses are unique; the same options give the same rows.
func WriteCatalogue(w io.Writer, n int, o CatalogueOptions) error {
	return NewWorld(Config{Seed: o.Seed, Domains: o.Domains, Only: o.Only}).WriteCatalogue(w, n, o.ValidShare)
}

// WriteCatalogue writes n synthetic people of this world; see the function of
// the same name. validShare 0 means 0.5.
func (w *World) WriteCatalogue(out io.Writer, n int, validShare float64) error {
	rows := csv.NewWriter(out)
	if err := rows.Write(CatalogueHeader); err != nil {
		return fmt.Errorf("the catalogue could not be written: %w", err)
	}
	people := w.newPeople(validShare)
	record := make([]string, len(CatalogueHeader))
	for i := range n {
		people.next(i, record)
		if err := rows.Write(record); err != nil {
			return fmt.Errorf("the catalogue could not be written: %w", err)
		}
	}
	rows.Flush()
	if err := rows.Error(); err != nil {
		return fmt.Errorf("the catalogue could not be written: %w", err)
	}
	return nil
}

// Emails returns the addresses of the catalogue's first n rows.
func (w *World) Emails(n int, validShare float64) []string {
	people := w.newPeople(validShare)
	record := make([]string, len(CatalogueHeader))
	emails := make([]string, n)
	for i := range emails {
		people.next(i, record)
		emails[i] = record[1]
	}
	return emails
}

// people makes up the catalogue's rows one after the other.
type people struct {
	world     *World
	random    *rand.Rand
	details   *rand.Rand // of further numbers and profiles
	companies []employer
	upTo      []float64 // share of the rows that belong to companies 0…i
	existing  float64   // share of existing mailboxes where a host tells
}

// employer is a company and how many of its people were thought of.
type employer struct {
	company
	domain  *domain
	pattern int
	from    int // where its row of people begins
	thought int
	telling bool // a verifier can find valid addresses there
}

func (w *World) newPeople(validShare float64) *people {
	if validShare <= 0 {
		validShare = 0.5
	}
	p := &people{world: w, random: rand.New(rand.NewPCG(w.config.Seed, 20)), details: rand.New(rand.NewPCG(w.config.Seed, 21))}
	total, telling := 0.0, 0.0
	for i, d := range w.companies {
		e := employer{
			company: companyOf(w.config.Seed, i),
			domain:  d,
			pattern: int(hash(w.config.Seed, "pattern", d.name) % 10),
			from:    int(hash(w.config.Seed, "people", d.name) % 1_000_000),
			telling: w.Truth("postmaster@"+d.name).Verdict == "valid",
		}
		p.companies = append(p.companies, e)
		// Few companies have many leads, many have few.
		weight := math.Pow(float64(i+10), -0.4)
		total += weight
		p.upTo = append(p.upTo, total)
		if e.telling {
			telling += weight
		}
	}
	p.existing = min(1, validShare*total/max(telling, math.SmallestNonzeroFloat64))
	return p
}

// next fills in the row with this number.
func (p *people) next(row int, record []string) {
	r := p.random
	total := p.upTo[len(p.upTo)-1]
	e := &p.companies[sort.SearchFloat64s(p.upTo, r.Float64()*total)]
	want := r.Float64() < p.existing
	first, last, local := e.person()
	for e.telling && want != (p.world.mailbox(e.domain, []byte(local)) == exists) {
		first, last, local = e.person()
	}
	job := &jobs[r.IntN(len(jobs))]
	number := strconv.Itoa(100_000_000 + row + 1)
	record[0] = "L" + number[1:]
	record[1] = local + "@" + e.company.domain
	record[2], record[3] = first.written, last.written
	record[4], record[5], record[6] = job.title, job.seniority, job.department
	record[7], record[8], record[9] = e.name, e.company.domain, e.industry
	record[10] = strconv.Itoa(e.headcount)
	record[11], record[12], record[13] = e.place.country, e.place.region, e.place.city
	record[14], record[15], record[16] = "", "", ""
	if r.IntN(10) < 7 {
		record[14] = phone(e.place.country, r)
	}
	if r.IntN(10) < 4 {
		record[15] = first.ascii + "." + last.ascii + strconv.Itoa(row) + "@" + FreeDomains[r.IntN(len(FreeDomains))]
	}
	if record[14] != "" && p.details.IntN(5) == 0 {
		record[14] += ";" + phone(e.place.country, p.details)
	}
	if p.details.IntN(10) < 3 {
		record[16] = first.written + " " + temperaments[p.details.IntN(len(temperaments))] +
			" " + approaches[p.details.IntN(len(approaches))]
	}
}

// What profiles say: of the person, and of how to write to them.
var (
	temperaments = []string{
		"decides fast and on facts.", "wants to see numbers first.", "likes to hear how others solved it.",
		"thinks in years, not in quarters.", "is curious about anything new.", "asks for a plan before a price.",
	}
	approaches = []string{
		"Keep it short and end with one question.", "Begin with the problem, not with the product.",
		"Mornings are better than afternoons.", "A call says more than three mails.", "Put the evidence in the first line.",
	}
)

// person thinks of the company's next person: every combination of names of
// the place's culture once, then again with a number.
func (e *employer) person() (first, last name, local string) {
	firsts, lasts := e.place.people.first, e.place.people.last
	n := len(firsts) * len(lasts)
	// 7,919 is prime and divides no such number: every n in a row differ.
	combination := (e.thought%n*7919 + e.from%n) % n
	round := e.thought / n
	e.thought++
	first, last = firsts[combination%len(firsts)], lasts[combination/len(firsts)]
	switch e.pattern {
	case 0:
		local = last.ascii + "." + first.ascii
	case 1:
		local = first.ascii + "_" + last.ascii
	case 2:
		local = first.ascii + "-" + last.ascii
	default:
		local = first.ascii + "." + last.ascii
	}
	if round > 0 {
		local += strconv.Itoa(round + 1)
	}
	return first, last, local
}

var jobs = []struct{ title, seniority, department string }{
	{"Software Engineer", "entry", "engineering"},
	{"Senior Software Engineer", "senior", "engineering"},
	{"Account Executive", "senior", "sales"},
	{"Marketing Manager", "manager", "marketing"},
	{"VP Sales", "vp", "sales"},
	{"Chief Technology Officer", "c_level", "engineering"},
	{"Sales Development Representative", "entry", "sales"},
	{"Head of Procurement", "head", "operations"},
	{"Staff Engineer", "senior", "engineering"},
	{"Product Manager", "manager", "product"},
	{"Chief Executive Officer", "c_level", "executive"},
	{"Founder", "owner", "executive"},
	{"HR Business Partner", "senior", "human resources"},
	{"Director of Engineering", "director", "engineering"},
	{"Controller", "manager", "finance"},
	{"Chief Financial Officer", "c_level", "finance"},
	{"DevOps Engineer", "senior", "engineering"},
	{"Customer Success Manager", "manager", "customer success"},
	{"Data Engineer", "entry", "engineering"},
	{"Director of Marketing", "director", "marketing"},
	{"Office Manager", "entry", "operations"},
	{"Logistics Coordinator", "entry", "operations"},
	{"VP Engineering", "vp", "engineering"},
	{"Talent Acquisition Partner", "senior", "human resources"},
	{"Security Engineer", "senior", "engineering"},
	{"General Counsel", "head", "legal"},
	{"UX Designer", "senior", "product"},
	{"Regional Sales Manager", "manager", "sales"},
	{"Support Engineer", "entry", "customer success"},
	{"Plant Manager", "manager", "operations"},
}

// testNumbers are the number ranges that each country's regulator keeps for
// films and tests: E.164 up to the digits that are free, and how many those are.
var testNumbers = map[string][]struct {
	prefix string
	digits int
}{
	"US": {
		{"+121255501", 2},
		{"+131255501", 2},
		{"+141555501", 2},
		{"+151255501", 2},
		{"+161755501", 2},
		{"+120655501", 2},
		{"+130355501", 2},
		{"+140455501", 2},
		{"+130555501", 2},
		{"+191955501", 2},
	},
	"CA": {{"+141655501", 2}, {"+160455501", 2}, {"+151455501", 2}},
	"GB": {{"+442079460", 3}, {"+441614960", 3}, {"+441314960", 3}},
	"DE": {{"+493023125", 3}, {"+494066969", 3}, {"+491713920", 3}},
	"FR": {{"+3319900", 4}, {"+3326191", 4}, {"+3346571", 4}},
	"SE": {{"+4670174066", 1}, {"+4670174067", 1}, {"+468465004", 2}},
	"AU": {{"+6125550", 4}, {"+6137010", 4}, {"+6149157015", 1}},
}

// phone makes up a number that is valid and not in use.
func phone(country string, r *rand.Rand) string {
	ranges := testNumbers[country]
	from := ranges[r.IntN(len(ranges))]
	free := 1
	for range from.digits {
		free *= 10
	}
	digits := strconv.Itoa(free + r.IntN(free))
	return from.prefix + digits[1:]
}
