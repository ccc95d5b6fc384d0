package auth

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// presets has the properties of each kind.
var presets = map[Kind]preset{
	KindWildFire:     wildFire,
	KindDataSecurity: dataSecurity,
	KindWatchGuard:   watchGuard,
	KindCortex:       cortexHub,
	KindAPIKey:       apiKey,
}

// Kinds lists the kinds, sorted by name.
func Kinds() []Kind { return slices.Sorted(maps.Keys(presets)) }

// Keys lists the configuration keys that a profile of the kind may have, besides "kind". It returns
// none for an unknown kind.
func (k Kind) Keys() []string { return slices.Clone(presets[k].keys) }

// Required lists the keys that a profile of the kind must have in a configuration; "client_secret"
// stands for client_secret or client_secret_file. Validate requires fewer keys: a Source needs no
// redirect_url, and no grant_file if it has a bucket for grants.
func (k Kind) Required() []string { return slices.Concat(presets[k].required, presets[k].login) }

// LogsIn reports whether an administrator has to log in first.
func (k Kind) LogsIn() bool { return presets[k].logsIn }

// FormField reports whether Token returns the value of a form field, which the client adds itself,
// instead of a bearer token.
func (k Kind) FormField() bool { return presets[k].formField }

// DefaultShare returns the default of Profile.Share; "" if the kind has nothing to share.
func (k Kind) DefaultShare() Share {
	if presets[k].unshared {
		return ""
	}
	return cmp.Or(presets[k].share, SharePrefer)
}

// KindsWith lists the kinds that have a configuration key, sorted by name.
func KindsWith(key string) []Kind {
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return !slices.Contains(presets[k].keys, key) })
}

// KindList joins the names of kinds for a message.
func KindList(kinds []Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// DefaultProfile returns the profile of an [auth.NAME] table that sets only the kind.
func DefaultProfile(name string, kind Kind) Profile {
	return Profile{Name: name, Kind: kind, Share: kind.DefaultShare()}
}
