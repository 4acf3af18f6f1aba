package maillab

import (
	"slices"
	"strings"
)

// DisposableDomains are public throw-away address services, by their real
// names because verifiers know them from lists. In the lab they accept all.
var DisposableDomains = []string{
	"mailinator.com", "yopmail.com", "guerrillamail.com", "10minutemail.com", "sharklasers.com",
	"trashmail.com", "temp-mail.org", "dispostable.com", "maildrop.cc", "getnada.com",
}

// FreeDomains are where the lab's people have their private addresses. Big
// providers serve them like domains of kind Shared.
var FreeDomains = []string{"postbox.test", "mailhaven.test", "inboxly.test", "webpost.test", "briefkasten.test"}

// culture is what people are called in a part of the world.
type culture struct{ first, last []name }

// name is a name as people write it and as it stands in an address.
type name struct{ written, ascii string }

func names(list string) []name {
	var all []name
	for _, written := range strings.Fields(list) {
		all = append(all, name{written, withoutAccents.Replace(strings.ToLower(written))})
	}
	return all
}

var withoutAccents = strings.NewReplacer(
	"ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "å", "a", "é", "e", "è", "e", "ê", "e", "ë", "e",
	"ç", "c", "ï", "i", "î", "i", "ô", "o", "û", "u", "à", "a", "â", "a",
)

var (
	english = culture{
		names(`James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard
			Susan Joseph Jessica Thomas Sarah Charles Karen Christopher Lisa Daniel Nancy Matthew Betty Anthony Sandra Mark
			Margaret Donald Ashley Steven Kimberly Paul Emily Andrew Donna Joshua Michelle Kenneth Carol Kevin Amanda Brian
			Melissa George Deborah Timothy Stephanie Ronald Rebecca Jason Laura Edward Sharon Jeffrey Cynthia Ryan Kathleen
			Jacob Amy Gary Angela Nicholas Shirley Eric Anna Jonathan Brenda Stephen Pamela Larry Emma Justin Nicole Scott
			Helen Brandon Samantha Benjamin Katherine Samuel Christine Gregory Debra Alexander Rachel Oliver Olivia Harry
			Grace Jack Chloe Liam Zoe Noah Hannah`),
		names(`Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez
			Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis
			Robinson Walker Young Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera
			Campbell Mitchell Carter Roberts Gomez Phillips Evans Turner Diaz Parker Cruz Edwards Collins Reyes Stewart
			Morris Morales Murphy Cook Rogers Gutierrez Ortiz Morgan Cooper Peterson Bailey Reed Kelly Howard Ramos Kim Cox
			Ward Richardson Watson Brooks Chavez Wood James Bennett Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders
			Patel Myers Long Ross Foster Jimenez Powell Jenkins Perry Russell Sullivan Bell Coleman Butler Henderson Barnes
			Fisher Vasquez Simmons Graham Murray Ford Hamilton Wallace`),
	}
	german = culture{
		names(`Lukas Anna Maximilian Laura Jonas Julia Leon Lena Felix Sarah Paul Lisa Tim Katharina Jan Hannah
			Niklas Marie Tobias Sophie Stefan Claudia Andreas Sabine Jürgen Monika Thomas Petra Matthias Susanne Markus
			Birgit Christian Kerstin Florian Anja Sebastian Nicole Daniel Stefanie Björn Melanie Sven Christina Oliver Silke
			Günter Heike Wolfgang Ute Klaus Jörg Dirk Tanja Uwe Franziska Moritz Johanna Philipp Theresa`),
		names(`Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch Bauer
			Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Schmitt Werner
			Schmitz Krause Meier Lehmann Köhler Herrmann König Walter Mayer Huber Kaiser Fuchs Peters Lang Scholz Möller
			Weiß Jung Hahn Schubert Vogel Friedrich Keller Günther Frank Berger Winkler Roth Beck Lorenz Baumann Franke
			Albrecht Schuster Simon Ludwig Böhm Winter Kraus Martin Schumacher Krämer Vogt Stein Jäger Otto Sommer Groß
			Seidel Heinrich Brandt Haas Schreiber`),
	}
	french = culture{
		names(`Gabriel Léa Louis Emma Raphaël Jade Jules Louise Adam Alice Lucas Chloé Hugo Lina Arthur Mila
			Nathan Manon Thomas Camille Nicolas Julie Pierre Marie Antoine Sophie Julien Céline Sébastien Isabelle François
			Nathalie Frédéric Sandrine Olivier Valérie Laurent Aurélie Philippe Émilie Christophe Stéphanie Mathieu Hélène
			Guillaume Anaïs Maxime Pauline Benoît Mathilde Étienne Clara Xavier Élodie Vincent Justine`),
		names(`Martin Bernard Dubois Thomas Robert Richard Petit Durand Leroy Moreau Simon Laurent Lefebvre
			Michel Garcia David Bertrand Roux Vincent Fournier Morel Girard André Lefèvre Mercier Dupont Lambert Bonnet
			François Martinez Legrand Garnier Faure Rousseau Blanc Guérin Muller Henry Roussel Nicolas Perrin Morin Mathieu
			Clément Gauthier Dumont Lopez Fontaine Chevalier Robin Masson Sanchez Gérard Nguyen Boyer Denis Lemaire Duval
			Joly Gautier Roger Roche Noël Meyer Lucas Meunier Picard Renaud Caron`),
	}
	swedish = culture{
		names(`Erik Anna Lars Eva Karl Maria Anders Karin Johan Kristina Per Lena Nils Kerstin Carl Sara Mikael
			Emma Jan Ingrid Hans Marie Peter Malin Olof Jenny Gustav Johanna Sven Linnéa Fredrik Elin Daniel Åsa Mattias
			Frida Björn Ulrika Henrik Ida Oskar Sofia Magnus Hanna`),
		names(`Andersson Johansson Karlsson Nilsson Eriksson Larsson Olsson Persson Svensson Gustafsson
			Pettersson Jonsson Jansson Hansson Bengtsson Jönsson Lindberg Jakobsson Magnusson Lindström Olofsson Lindqvist
			Lindgren Berg Axelsson Bergström Lundberg Lind Lundgren Lundqvist Mattsson Berglund Fredriksson Sandberg
			Henriksson Forsberg Sjöberg Wallin Engström Eklund Danielsson Lundin Håkansson Björk Bergman Gunnarsson Holm
			Wikström`),
	}
)

// nameWords holds every first and last name as it stands in an address.
var nameWords = func() map[string]bool {
	words := make(map[string]bool, 1024)
	for _, c := range []culture{english, german, french, swedish} {
		for _, n := range slices.Concat(c.first, c.last) {
			words[n.ascii] = true
		}
	}
	return words
}()
