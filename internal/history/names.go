package history

import "strings"

// maxNames bounds the number of different sources, outcomes and file types; further ones share one
// name.
const maxNames = 10_000

// nameTable numbers a small set of texts.
type nameTable struct {
	index map[string]uint16
	list  []string
}

const otherName = "(other)"

func (n *nameTable) number(s string) uint16 {
	if i, ok := n.index[s]; ok {
		return i
	}
	if len(n.list) >= maxNames {
		s = otherName
		if i, ok := n.index[s]; ok {
			return i
		}
	}
	i := uint16(len(n.list))
	n.list = append(n.list, strings.Clone(s))
	n.index[n.list[i]] = i

	return i
}
