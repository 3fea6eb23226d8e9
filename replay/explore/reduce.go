package explore

func (w *World) reduce(cs []Choice, must int) []Choice { return cs }
