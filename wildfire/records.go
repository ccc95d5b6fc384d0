package wildfire

import "github.com/beevik/etree"

// parseRecords reads the records of an answer: the children of the root with the given name. It
// calls set for each child element of a record, in order, with the element's name and trimmed text.
func parseRecords[T any](body []byte, tags int, name string, set func(record *T, field, text string)) ([]T, error) {
	root, err := wildfireRoot(body, tags)
	if err != nil {
		return nil, err
	}

	var records []T
	for _, element := range root.SelectElements(name) {
		var record T
		for _, token := range element.Child {
			if child, ok := token.(*etree.Element); ok {
				set(&record, child.Tag, trimmed(child))
			}
		}

		records = append(records, record)
	}

	return records, nil
}

// setFirst sets a field unless it is set already. If an element is repeated, the first one counts.
func setFirst(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
