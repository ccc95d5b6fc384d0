package wildfire

import (
	"encoding/xml"
	"strconv"
	"strings"
)

// Limits on a report's XML, in addition to maxReport, maxReportTags and maxDepth.
const (
	maxTag    = 1 << 20 // bytes of one tag, whose attributes are all in memory at once
	maxDomain = 253     // bytes of a domain name (RFC 1035, section 2.3.4)
	maxLabel  = 63      // bytes of a label of a domain name
)

// frame is an element whose end tag has not been read.
type frame struct {
	name  string // in lower case: some reports have "Create", others "create"
	attrs []xml.Attr
}

// attr returns the value of an attribute, or "" if the element does not have it.
func (f frame) attr(name string) string {
	for _, a := range f.attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}

	return ""
}

// reportReader builds a Report from the elements of the XML.
type reportReader struct {
	report   Report
	platform Platform // the environment whose report is being read
	frames   []frame  // the open elements, the root first
	root     string   // name of the outermost element; "" before it begins
	text     []byte   // text of the innermost element so far
	hasFile  bool     // the document has a file_info element
	message  string   // message in an error document
	done     bool     // the outermost element has ended

	seen  map[string]struct{} // keys of the entries in the lists, see add
	bytes map[string]int      // size of each list, by its name
}

// parseSize parses a number of bytes. It returns 0 for anything else.
func parseSize(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0
	}

	return max(n, 0)
}
