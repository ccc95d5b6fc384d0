package auth

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// presets has what is special about each kind.
var presets = map[Kind]preset{
	KindWildFire:     wildFire,
	KindDataSecurity: dataSecurity,
	KindWatchGuard:   watchGuard,
	KindCortex:       cortexHub,
	KindAPIKey:       apiKey,
}

// Kinds lists the kinds in the order of their names.
func Kinds() []Kind { return slices.Sorted(maps.Keys(presets)) }

// Keys lists the configuration keys that a profile of the kind may have, besides "kind"; none
// for a kind that is not known.
func (k Kind) Keys() []string { return slices.Clone(presets[k].keys) }

// Required lists the keys that a profile of the kind has to have in a configuration;
// "client_secret" stands for either way to give it. Validate asks for fewer: what only a login
// needs may come with it.
func (k Kind) Required() []string { return slices.Concat(presets[k].required, presets[k].login) }

// LogsIn reports whether an administrator has to log in before there are tokens.
func (k Kind) LogsIn() bool { return presets[k].logsIn }

// FormField reports whether what Token returns is the value of a form field, which its client
// adds, and not a bearer token.
func (k Kind) FormField() bool { return presets[k].formField }

// DefaultShare returns how a profile of the kind shares tokens unless it says otherwise; ""
// where there is nothing to share.
func (k Kind) DefaultShare() Share {
	if presets[k].unshared {
		return ""
	}
	return cmp.Or(presets[k].share, SharePrefer)
}

// KindsWith lists the kinds that have a configuration key, in the order of their names.
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
