package caddyverify

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

// guardReports tells of the guards of all accounts, or of the one that the query names.
func (*adminAPI) guardReports(w http.ResponseWriter, r *http.Request, _ []string) error {
	all, err := accountsAsked(r.URL.Query().Get("account"))
	if err != nil {
		return err
	}
	reports := status.GuardReports{Accounts: []status.GuardReport{}}
	for _, account := range all {
		if report, on := status.GuardReportOf(account); on {
			reports.Accounts = append(reports.Accounts, report)
		}
	}
	slices.SortFunc(reports.Accounts, func(a, b status.GuardReport) int { return cmp.Compare(a.Account, b.Account) })
	return answer(w, reports)
}

// guardPlace is what an operator has blocked, or lifted.
type guardPlace struct {
	// Account is its name or label; "" for all.
	Account string `json:"account,omitempty"`
	// Caller is whose starts it is about; absent for all.
	Caller *string `json:"caller,omitempty"`
	// Target is how numbers begin, or the code of a country.
	Target string `json:"target"`
}

// accountsAsked are the one of a name, or all.
func accountsAsked(name string) ([]*gateway.Account, error) {
	if name == "" {
		return allAccounts(), nil
	}
	account, err := accountNamed(name)
	return []*gateway.Account{account}, err
}

// readPlace reads what an action is about. Nothing that it says shows the target, which may be a
// whole number by mistake.
func readPlace(w http.ResponseWriter, r *http.Request) (place guardPlace, all []*gateway.Account, err error) {
	if err := readJSON(w, r, &place); err != nil {
		return place, nil, err
	}
	switch isDigits := strings.Trim(place.Target, "0123456789") == ""; {
	case place.Target == "":
		err = apiError(http.StatusBadRequest, `it names no place; write how numbers begin, with the calling code first, or a country, such as "target":"44740012" or "target":"LK"`)
	case isDigits && place.Target[0] == '0':
		err = apiError(http.StatusBadRequest, "the prefix begins with 0; write it with the calling code first, without a plus sign or zeros before it, such as 44740012")
	case !isDigits:
		if _, e := country.NewList([]string{place.Target}); e != nil || len(place.Target) != 2 {
			err = apiError(http.StatusBadRequest, "the place is neither a prefix of digits alone, such as 44740012, nor the two-letter code of a country with a calling code, such as LK")
		}
		place.Target = strings.ToUpper(place.Target)
	}
	if err == nil {
		all, err = accountsAsked(place.Account)
	}
	return place, all, err
}

// noRange is what is wrong with digits that may be a whole number, or most of one.
func noRange(target string) error {
	if strings.Trim(target, "0123456789") != "" || country.IsRange(target) {
		return nil
	}
	return apiError(http.StatusBadRequest, "the prefix, of %d digits, is as long as a whole number, which is not written into logs; leave out the last four digits", len(target))
}

// unknownCaller is what is wrong with a caller that none of the accounts can have. Where the
// configuration has no callers, anybody may be one.
func unknownCaller(name *string, all []*gateway.Account) error {
	if name == nil {
		return nil
	}
	var known []string
	for _, account := range all {
		callers := account.Callers()
		if len(callers) == 0 || slices.Contains(callers, *name) {
			return nil
		}
		known = append(known, callers...)
	}
	if len(known) == 0 {
		return nil
	}
	slices.Sort(known)
	return apiError(http.StatusNotFound, "there is no caller %q; the configuration has %s", *name, strings.Join(slices.Compact(known), ", "))
}

func (a *adminAPI) pinBlock(w http.ResponseWriter, r *http.Request, _ []string) error {
	asked, all, err := readPlace(w, r)
	if err == nil {
		err = cmp.Or(noRange(asked.Target), unknownCaller(asked.Caller, all))
	}
	if err != nil {
		return err
	}
	place := guard.Place{Target: asked.Target, Everyone: asked.Caller == nil}
	if asked.Caller != nil {
		place.Caller = *asked.Caller
	}
	for _, account := range all {
		if err := account.PinBlock(place); err != nil {
			return apiError(http.StatusConflict, "account %s: %v; lift some that are needed no more", account.Label(), err)
		}
		a.audit(r, "an operator has blocked a place", account, asked)
	}
	return answer(w, done{len(all)})
}

func (a *adminAPI) liftBlocks(w http.ResponseWriter, r *http.Request, _ []string) error {
	asked, all, err := readPlace(w, r)
	if err != nil {
		return err
	}
	lifted := 0
	for _, account := range all {
		if n := account.LiftBlocks(asked.Target, asked.Caller); n > 0 {
			lifted += n
			a.audit(r, "an operator has lifted a block", account, asked)
		}
	}
	if lifted == 0 {
		if err := noRange(asked.Target); err != nil {
			return err
		}
		return apiError(http.StatusNotFound, "there is no block of %s; `caddy verify guard list` shows those in force, and whose they are", asked.Target)
	}
	return answer(w, done{lifted})
}

// audit logs who has done what, as far as the admin endpoint knows.
func (a *adminAPI) audit(r *http.Request, message string, account *gateway.Account, place guardPlace) {
	fields := []zap.Field{
		zap.String("account", account.Label()), zap.String("target", place.Target),
		zap.String("by", cmp.Or(strings.Trim(r.RemoteAddr, "@"), "unix socket")), zap.String("listener", r.Host),
	}
	if place.Caller != nil {
		fields = append(fields, zap.String("caller", *place.Caller))
	}
	a.logger.Warn(message, fields...)
}
