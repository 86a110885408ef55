package main

import (
	"fmt"
	"math/rand/v2"
)

// country is one and the mobile numbers in it.
type country struct {
	code   string
	begins string // all of them, with the calling code
	width  int    // the digits between that and the last four
	ranges int    // of ten thousand numbers, that are in use
	price  int64  // of a verification, in millionths of a euro
}

// countries are roughly as their numbering plans and price lists are: large ones, small ones, and some of
// which fraudsters get a share.
var countries = map[string]*country{}

func init() {
	for _, c := range []country{
		{"GB", "447", 5, 60_000, 48_000},
		{"DE", "4915", 5, 70_000, 85_000},
		{"FR", "336", 4, 9_900, 68_000},
		{"US", "1", 6, 30_000, 12_000},
		{"CA", "1", 6, 6_000, 12_000},
		{"MX", "521", 6, 15_000, 32_000},
		{"PL", "48", 5, 20_000, 30_000},
		{"AT", "43664", 4, 3_000, 72_000},
		{"ES", "346", 4, 9_000, 62_000},
		{"IE", "3538", 4, 1_500, 64_000},
		{"BR", "55119", 4, 8_000, 36_000},
		{"LT", "3706", 3, 900, 38_000},
		{"EE", "3725", 3, 500, 71_000},
		{"MT", "3569", 3, 300, 45_000},
		{"IS", "354", 3, 150, 66_000},
		{"LU", "352621", 2, 90, 62_000},
		{"LK", "947", 4, 8_000, 270_000},
		{"AZ", "9945", 4, 3_000, 310_000},
		{"KG", "9967", 4, 3_000, 180_000},
		{"TJ", "9929", 4, 3_000, 290_000},
		{"BD", "8801", 5, 30_000, 250_000},
		{"ID", "628", 6, 50_000, 330_000},
		{"PK", "923", 5, 30_000, 260_000},
		{"NG", "2348", 5, 40_000, 240_000},
	} {
		countries[c.code] = &c
	}
}

// number is a phone number.
type number struct {
	country *country
	prefix  string
	suffix  int
}

// inRange returns a number of a range of a country.
func (c *country) inRange(r, suffix int) number {
	return number{c, fmt.Sprintf("%s%0*d", c.begins, c.width, r), suffix}
}

// anyone returns the number of one who lives there. Some ranges have more customers than others.
func (c *country) anyone(random *rand.Rand) number {
	part := random.Float64()
	return c.inRange(c.place(int(part*part*float64(c.ranges))), random.IntN(10_000))
}

// place has ranges that are in use lie apart.
func (c *country) place(r int) int {
	space := 1
	for range c.width {
		space *= 10
	}
	return r * (space / c.ranges)
}

// account is one of the Verify API.
type account struct {
	name, currency string
	rate           float64 // to the euro
	// countries are those that its applications are for.
	countries string
	// budget is three to four times what a usual day costs, a day.
	budget string
}

var accounts = []*account{
	{"europe", "EUR", 1, "GB DE FR PL AT ES IE LT EE MT LU IS", "2500 EUR/day"},
	{"america", "USD", 1.09, "US CA MX BR GB DE FR ES", "600 USD/day"},
	{"clinics", "GBP", 0.85, "GB IE MT", "130 GBP/day"},
}

// app is an application of the company.
type app struct {
	name    string
	account *account
	perDay  float64
	// markets are where its users live, by weight; one in a thousand lives elsewhere.
	markets []market
	// convert is how many of those who get the code enter it.
	convert float64
	// weekend is how much there is to do then, and zone how many hours its noon is from that of UTC.
	weekend float64
	zone    int
	// checks tells that it makes checks by the gateway, and addresses that it says its users' addresses.
	checks, addresses bool
	// peaks are the days on which many come for an hour and a half.
	peaks []int
	// companies are how many bring their employees on a day.
	companies float64
}

type market struct {
	country string
	weight  float64
}

var apps = []*app{
	{
		name: "shop", account: accounts[0], perDay: 6000, convert: 0.88, weekend: 1.4, checks: true, addresses: true, peaks: []int{5, 12, 25},
		markets: []market{{"GB", 5}, {"DE", 5}, {"FR", 3}, {"PL", 2}, {"ES", 2}, {"IE", 0.5}, {"AT", 1}, {"LT", 0.3}, {"EE", 0.2}},
	},
	{
		name: "bank", account: accounts[0], perDay: 3000, convert: 0.95, weekend: 0.4, zone: 1, checks: true, addresses: true, peaks: []int{0, 14},
		markets: []market{{"DE", 3}, {"AT", 2}, {"LU", 1}, {"EE", 1}, {"IS", 0.5}},
	},
	{
		name: "rides", account: accounts[1], perDay: 5000, convert: 0.82, weekend: 1.3, zone: -6, checks: true, peaks: []int{9, 23},
		markets: []market{{"US", 8}, {"CA", 2}, {"MX", 2}, {"BR", 1}, {"GB", 0.3}},
	},
	{
		name: "games", account: accounts[1], perDay: 2500, convert: 0.72, weekend: 1.7, zone: -3, peaks: []int{3, 17},
		markets: []market{{"US", 4}, {"BR", 3}, {"GB", 1}, {"DE", 1}, {"FR", 1}, {"ES", 1}},
	},
	{
		name: "clinic", account: accounts[2], perDay: 700, convert: 0.92, weekend: 0.1, checks: true, companies: 3,
		markets: []market{{"GB", 4}, {"MT", 2}, {"IE", 1}},
	},
}
