package maillab

import (
	"strconv"
	"strings"
)

// company is an employer of the catalogue, made up from its index.
type company struct {
	name, domain, industry string
	place                  *place
	headcount              int
}

// place is where a company sits.
type place struct {
	country, region, city string
	people                *culture
	suffix                string // of the company's name
}

var firstWords = strings.Fields(`Northwind Bluepeak Redwood Alder Silverline Brightwater Ironbridge Lakeview Stonegate
	Westbrook Eastport Highfield Clearwater Oakridge Maple Harbor Summit Granite Cobalt Amber Juniper Falcon Heron Lynx
	Orion Vega Atlas Polaris Meridian Equinox Solstice Aurora Cascade Delta Sierra Tundra Prairie Canyon Glacier Fjord
	Beacon Compass Anchor Keystone Cornerstone Milestone Waypoint Crossroad Greenleaf Fernhill Birchwood Elmwood
	Willow Cedar Spruce Hazel Thistle Clover Saffron Indigo Crimson Ivory Onyx Jasper Quartz Opal Topaz Copper Nickel
	Titan Vanguard Pioneer Frontier Horizon Zenith Apex Pinnacle Crest Ridgeway Riverside Seaside Sunfield Moonrise
	Starling Kestrel Osprey Condor Marten Badger Bison Caribou Elk Wolverine Nordic Baltic Alpine Rhine Danube Thames
	Hudson Potomac Loire`)

var sectors = []struct{ word, industry string }{
	{"Software", "software"},
	{"Logistics", "logistics"},
	{"Consulting", "consulting"},
	{"Systems", "software"},
	{"Health", "healthcare"},
	{"Capital", "finance"},
	{"Robotics", "manufacturing"},
	{"Cloud", "software"},
	{"Media", "media"},
	{"Foods", "food and beverage"},
	{"Energy", "energy"},
	{"Analytics", "software"},
	{"Insurance", "insurance"},
	{"Motors", "automotive"},
	{"Retail", "retail"},
	{"Security", "software"},
	{"Biotech", "biotechnology"},
	{"Construction", "construction"},
	{"Networks", "telecommunications"},
	{"Labs", "software"},
	{"Education", "education"},
	{"Travel", "hospitality"},
	{"Textiles", "manufacturing"},
	{"Partners", "consulting"},
	{"Pharma", "pharmaceuticals"},
	{"Freight", "logistics"},
	{"Bank", "finance"},
	{"Digital", "marketing"},
	{"Legal", "legal services"},
	{"Properties", "real estate"},
	{"Machines", "manufacturing"},
	{"Apps", "software"},
	{"Chemicals", "chemicals"},
	{"Studio", "media"},
	{"Solar", "energy"},
	{"Farms", "agriculture"},
	{"Recruiting", "human resources"},
	{"Aerospace", "aerospace"},
	{"Data", "software"},
	{"Interiors", "retail"},
}

var places = []place{
	{"US", "California", "San Francisco", &english, "Inc"},
	{"US", "New York", "New York", &english, "Inc"},
	{"US", "Texas", "Austin", &english, "LLC"},
	{"DE", "Bayern", "München", &german, "GmbH"},
	{"GB", "England", "London", &english, "Ltd"},
	{"US", "Illinois", "Chicago", &english, "Inc"},
	{"FR", "Île-de-France", "Paris", &french, "SAS"},
	{"US", "Washington", "Seattle", &english, "Corp"},
	{"DE", "Berlin", "Berlin", &german, "GmbH"},
	{"US", "Massachusetts", "Boston", &english, "Inc"},
	{"GB", "England", "Manchester", &english, "Ltd"},
	{"SE", "Stockholms län", "Stockholm", &swedish, "AB"},
	{"US", "Colorado", "Denver", &english, "LLC"},
	{"FR", "Auvergne-Rhône-Alpes", "Lyon", &french, "SARL"},
	{"CA", "Ontario", "Toronto", &english, "Inc"},
	{"DE", "Hamburg", "Hamburg", &german, "AG"},
	{"US", "Georgia", "Atlanta", &english, "Inc"},
	{"AU", "New South Wales", "Sydney", &english, "Pty Ltd"},
	{"GB", "Scotland", "Edinburgh", &english, "plc"},
	{"US", "Florida", "Miami", &english, "LLC"},
	{"DE", "Nordrhein-Westfalen", "Köln", &german, "GmbH"},
	{"CA", "British Columbia", "Vancouver", &english, "Ltd"},
	{"FR", "Occitanie", "Toulouse", &french, "SAS"},
	{"SE", "Västra Götalands län", "Göteborg", &swedish, "AB"},
	{"US", "North Carolina", "Raleigh", &english, "Inc"},
}

// companyOf makes up the company with an index. Companies of one seed differ
// in their domains.
func companyOf(seed uint64, index int) company {
	n := len(firstWords) * len(sectors)
	// 2,357 is prime to the number of combinations: every n in a row differ.
	combination := (index%n*2357 + int(seed%uint64(n))) % n
	first := firstWords[combination%len(firstWords)]
	sector := sectors[combination/len(firstWords)]
	c := company{name: first + " " + sector.word, industry: sector.industry}
	c.domain = strings.ToLower(first + "-" + sector.word)
	if round := index / n; round > 0 {
		c.name += " " + strconv.Itoa(round+1)
		c.domain += "-" + strconv.Itoa(round+1)
	}
	c.domain += ".test"
	h := hash(seed, "company", c.domain)
	c.place = &places[h%uint64(len(places))]
	c.name += " " + c.place.suffix
	c.headcount = 5 + int(h>>16%40)*int(h>>32%50)*int(h>>48%10)
	return c
}
